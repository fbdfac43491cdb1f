// SPDX-License-Identifier: MIT
// The tasks, and the fast path. The graph: lockdep_graph.cpp.
#include "sync/lockdep.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sync/lockdep_graph.h"

namespace i915u::sync::lockdep {
namespace {

// A plain pointer, in the thread's own block: found with one load.
__attribute__((tls_model("initial-exec"))) thread_local constinit Task* running = nullptr;

struct Own {
  std::unique_ptr<Task> task;
  ~Own() {
    running = nullptr;
    gone = true;
  }
  bool gone = false;
};
thread_local Own own;

// A key tells in which order and how each lock was taken.
uint64_t extend(uint64_t chain, const Task::Held& h) {
  const uint64_t v = h.id | static_cast<uint64_t>(h.mode) << 16 | uint64_t{h.trylock} << 18 |
                     uint64_t{h.nest != nullptr} << 19;
  uint64_t x = (chain ^ v) * 0x9e3779b97f4a7c15;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9;
  return (x ^ x >> 32) | 1;
}

void forget_history(Task& t) {
  memset(t.touched, 0, sizeof t.touched);
}

// The task of the caller, in step with the epoch; null: it is not to be checked.
Task* ready() {
  Task* t = current();
  const uint32_t now = detail::epoch.load(std::memory_order_relaxed);
  if (!t || !now) return nullptr;
  if (t->epoch != now) {
    t->epoch = now;
    t->depth = 0;
    t->chain = 0;
    forget_history(*t);
  }
  return t;
}

}  // namespace

Task::Task(const char* task_name) {
  snprintf(name, sizeof name, "%s", task_name);
}

void Task::end() {
  if (detail::on() && epoch == detail::epoch.load() && depth && turn_off())
    say(held_report(*this, false));
  forget();
}

void Task::forget() {
  depth = 0;
  chain = 0;
  forget_history(*this);
}

NonBlock::NonBlock(bool on) : task_(on ? current() : nullptr) {
  if (!task_) return;
  task_->non_block++;
  detail::non_block.fetch_add(1, std::memory_order_relaxed);
}

NonBlock::~NonBlock() {
  if (!task_) return;
  task_->non_block--;
  detail::non_block.fetch_sub(1, std::memory_order_relaxed);
}

Task* current() {
  if (running) return running;
  if (own.gone) return nullptr;
  char name[16] = "?";
  pthread_getname_np(pthread_self(), name, sizeof name);
  own.task = std::make_unique<Task>(name);
  return running = own.task.get();
}

Task* switch_to(Task* t) {
  Task* before = current();
  running = t ? t : own.task.get();
  return before;
}

void cut_history() {
  if (!detail::on()) return;
  if (Task* t = ready()) forget_history(*t);
}

namespace detail {

std::atomic<uint64_t> stamp{1};
std::atomic<uint32_t> non_block{0};

void might_sleep(Where w) {
  Task* t = ready();
  if (t && t->non_block && turn_off()) say(sleeping_report(*t, w));
}

void acquire(const LockClass& cls, const void* lock, Mode mode, bool trylock, Where w,
             unsigned subclass, const void* nest) {
  Task* t = ready();
  if (!t) return;
  uint16_t id = cls.ids[subclass].load(std::memory_order_relaxed);
  if (!id && !(id = class_id(cls, subclass))) return;
  if (!trylock) {
    const uint32_t at = id * 2u + (mode == Mode::read_recursive);
    t->touched[at / 64] |= uint64_t{1} << at % 64;
    t->history[at] = {stamp.load(std::memory_order_relaxed), w};
  }
  if (nest && t->depth) {
    Task::Held& top = t->held[t->depth - 1];
    if (top.id == id && top.nest == nest) {
      top.more++;
      return;
    }
  }
  if (t->depth == max_held) return too_small("MAX_LOCK_DEPTH");
  Task::Held& h = t->held[t->depth];
  h = {lock, nest, t->chain, w, id, mode, trylock, 0};
  const uint64_t key = extend(t->chain, h);
  if (t->depth && !chain_known(key) && !check_chain(*t, h, key)) return;
  t->chain = key;
  t->depth++;
}

void release(const LockClass& cls, const void* lock) {
  Task* t = ready();
  if (!t) return;
  for (uint32_t i = t->depth; i-- > 0;) {
    Task::Held& h = t->held[i];
    if (h.lock != lock) {
      // One of several under a nest lock, of which only the first is known.
      bool same = false;
      if (h.nest)
        for (const auto& id : cls.ids) same |= id.load(std::memory_order_relaxed) == h.id;
      if (!same) continue;
    }
    if (h.more) {
      h.more--;
      return;
    }
    t->depth--;
    uint64_t chain = h.chain_before;
    for (; i < t->depth; i++) {
      t->held[i] = t->held[i + 1];
      t->held[i].chain_before = chain;
      chain = extend(chain, t->held[i]);
    }
    t->chain = chain;
    return;
  }
}

void complete(const LockClass& cls, uint64_t since, Where w) {
  Task* t = ready();
  if (!t) return;
  uint16_t id = cls.ids[0].load(std::memory_order_relaxed);
  if (!id && !(id = class_id(cls, 0))) return;
  if (completes_anew(*t, id, since)) check_completion(*t, id, since, w);
}

void return_to_user() {
  Task* t = ready();
  if (!t) return;
  if (t->depth && turn_off()) say(held_report(*t, true));
  forget_history(*t);
}

}  // namespace detail
}  // namespace i915u::sync::lockdep
