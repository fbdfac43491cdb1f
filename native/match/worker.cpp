// SPDX-License-Identifier: MIT
#include "match/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "sync/clock.h"

namespace i915u::match {
namespace {

// Faulted in as a whole before an op is begun, so no more than a call needs.
constexpr size_t stack_size = 512 << 10;

}  // namespace

Worker::Worker(std::function<void(Op&, Answer&)> perform) : perform_(std::move(perform)) {
  if (sync::scheduler) return;
  sigset_t all, old;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, fault);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, stack_size);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  const int err = pthread_create(&thread_, &attr, run, this);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  pthread_attr_destroy(&attr);
  if (err) {
    fprintf(stderr, "i915-player: a thread: %s\n", strerror(err));
    abort();
  }
  std::unique_lock l(lock_);
  changed_.wait(l, [&] { return tid_ != 0; });
}

Worker::~Worker() {
  join();
  if (sync::scheduler) return;
  {
    std::lock_guard g(lock_);
    state_ = State::leaving;
    changed_.notify_all();
  }
  pthread_join(thread_, nullptr);
}

void* Worker::run(void* self) {
  Worker& w = *static_cast<Worker*>(self);
  std::unique_lock l(w.lock_);
  w.tid_ = gettid();
  w.changed_.notify_all();
  for (;;) {
    w.changed_.wait(l, [&] { return w.state_ == State::doing || w.state_ == State::leaving; });
    if (w.state_ == State::leaving) return nullptr;
    l.unlock();
    w.perform_(w.op, w.answer);
    l.lock();
    w.state_ = State::done;
    w.changed_.notify_all();
  }
}

bool Worker::busy() {
  std::lock_guard g(lock_);
  return state_ != State::idle;
}

void Worker::start(const Op& given) {
  op = given;
  if (sync::scheduler) {
    state_ = State::doing;
    scheduled_ = sync::Thread("op", [this] { perform_(op, answer); });
    return;
  }
  std::lock_guard g(lock_);
  state_ = State::doing;
  changed_.notify_all();
}

void Worker::join() {
  if (sync::scheduler) {
    scheduled_.join();
    state_ = State::idle;
    return;
  }
  std::unique_lock l(lock_);
  changed_.wait(l, [&] { return state_ != State::doing; });
  state_ = State::idle;
}

bool Worker::over() {
  std::lock_guard g(lock_);
  return state_ != State::doing;
}

// The thread may also be asleep for a moment on its way: a lock, a page. It is taken for blocked
// when it has stayed so.
const char* Worker::blocked(uint64_t ms) {
  if (sync::scheduler) return "refused";
  constexpr int looks = 5;
  constexpr uint64_t between_ns = 4000000;
  const uint64_t until = sync::now_ns() + ms * 1000000;
  uint64_t seen = 0;
  for (int same = 0; !over();) {
    uint64_t sleeps;
    if (!asleep(&sleeps))
      same = 0;
    else
      same = same && sleeps == seen ? same + 1 : 1;
    seen = sleeps;
    if (same == looks) return over() ? "over" : "blocked";
    if (sync::now_ns() >= until) return "awake";
    sync::sleep_ns(between_ns);
  }
  return "over";
}

bool Worker::asleep(uint64_t* sleeps) const {
  *sleeps = 0;
  char path[64], text[4096];
  snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid_);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = ::read(fd, text, sizeof(text) - 1);
  ::close(fd);
  text[n > 0 ? n : 0] = 0;
  const char* state = strstr(text, "\nState:\t");
  const char* count = strstr(text, "\nvoluntary_ctxt_switches:\t");
  if (!state || !count) return false;
  *sleeps = strtoull(count + strlen("\nvoluntary_ctxt_switches:\t"), nullptr, 10);
  const char s = state[strlen("\nState:\t")];
  return s == 'S' || s == 'D';
}

}  // namespace i915u::match
