// SPDX-License-Identifier: MIT
// What lockdep says, in the form of the kernel's reports: tools that read those read these.
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <mutex>

#include "sync/lockdep_graph.h"

namespace i915u::sync::lockdep {
namespace {

std::mutex sink_lock;
std::function<void(const Report&)>& sink() {
  static auto* s = new std::function<void(const Report&)>;  // threads may outlive static objects
  return *s;
}

const char* mode_text(Mode m) {
  return m == Mode::write ? "write" : m == Mode::read ? "read" : "recursive read";
}

// The compiler was given the name from native/ or from somewhere else.
std::string place(Where w) {
  const char* native = strstr(w.file, "native/");
  return (native ? native : std::string("native/") + w.file) + ":" + std::to_string(w.line);
}

std::string lock_text(uint16_t id, Mode m) {
  return "(" + class_name(id) + "){" + mode_text(m) + "}";
}

std::string held_text(const Task::Held& h) {
  char at[24];
  snprintf(at, sizeof at, "%p ", h.lock);
  return at + lock_text(h.id, h.mode) + (h.more ? " x " + std::to_string(h.more + 1) : "") +
         ", at: " + place(h.where);
}

std::string self_text(const Task& t) {
  return task_text(t.name, tid_of(t));
}

std::string headline(const std::string& title) {
  const std::string line = "WARNING: " + title;
  return "\n" + std::string(line.size(), '=') + "\n" + line + "\n" + std::string(line.size(), '-') +
         "\n";
}

std::string held_list(const Task& t) {
  std::string s = t.depth ? std::to_string(t.depth) + (t.depth == 1 ? " lock" : " locks") +
                                " held by " + self_text(t) + ":\n"
                          : "no locks held by " + self_text(t) + ".\n";
  for (uint32_t i = 0; i < t.depth; i++)
    s += " #" + std::to_string(i) + ": " + held_text(t.held[i]) + "\n";
  return s;
}

const char* const scenario_head =
    "\nother info that might help us debug this:\n\n Possible unsafe locking scenario:\n\n";
const char* const scenario_end = "\n *** DEADLOCK ***\n\n";

std::string left(const std::string& s) {
  return "  " + s + "\n";
}
std::string right(const std::string& s) {
  return std::string(31, ' ') + s + "\n";
}

std::string act(uint16_t id, Mode m, bool event) {
  const char* verb = event ? "wait(" : m == Mode::write ? "lock(" : "rlock(";
  return verb + class_name(id) + ");";
}

// Two tasks, as if what lies between the first and the last class of the path were one step.
std::string scenario(const Circle& c) {
  const Edge& first = *c.path.front();
  const Edge& last = *c.path.back();
  const Edge& now = c.added;
  std::string s;
  if (c.path.size() > 1) {
    s += "Chain exists of:\n  " + class_name(first.from);
    for (const Edge* e : c.path) s += " --> " + class_name(e->to);
    s += "\n\n";
  }
  s = "\nother info that might help us debug this:\n\n" + s +
      " Possible unsafe locking scenario:\n\n";
  s += "       CPU0                    CPU1\n       ----                    ----\n";
  const std::string other = act(last.from, last.from_mode, false);
  const std::string other_completes = "complete(" + class_name(last.from) + ");";
  const std::string wants = act(last.to, last.to_mode, c.from_is_event);
  if (now.cross) {  // we have locked what the other holds while it waits for us
    s += right(other) + left(act(now.to, now.to_mode, c.to_is_event)) + right(wants) +
         left("complete(" + class_name(now.from) + ");");
  } else {
    s += left(act(now.from, now.from_mode, false));
    s += last.cross ? right(wants) : right(other) + right(wants);
    s += left(act(now.to, now.to_mode, c.to_is_event));
    if (last.cross) s += right(other_completes);
  }
  return s + scenario_end;
}

std::string chain_entry(size_t n, const Edge& e, const std::string& who) {
  const std::string from = lock_text(e.from, e.from_mode);
  std::string s = "-> #" + std::to_string(n) + " " + lock_text(e.to, e.to_mode) + ":\n";
  s += "       acquired at " + place(e.to_where) + "\n";
  s += "       by " + who + ", ";
  if (e.cross)
    s += "before it completed (" + class_name(e.from) + ") at " + place(e.from_where) + "\n";
  else
    s += "which held " + from + " since " + place(e.from_where) + "\n";
  return s;
}

}  // namespace

std::string task_text(const char* name, int32_t tid) {
  return std::string(name) + "/" + std::to_string(tid);
}

int32_t tid_of(const Task&) {
  return static_cast<int32_t>(syscall(SYS_gettid));
}

void on_report(std::function<void(const Report&)> f) {
  std::lock_guard g(sink_lock);
  sink() = std::move(f);
}

// Under the lock: when on_report() has returned, the function before is not running any more.
void say(const Report& r) {
  std::lock_guard g(sink_lock);
  if (sink())
    sink()(r);
  else
    fputs(r.text.c_str(), stderr);
}

void too_small(const char* limit) {
  if (!turn_off()) return;
  const std::string title = std::string("BUG: ") + limit + " too low";
  say({title, title + "!\nturning off the locking correctness validator.\n"});
}

Report recursive_report(const Task& t, const Task::Held& next, const Task::Held& held) {
  Report r;
  r.title = "possible recursive locking detected";
  r.text = headline(r.title) + self_text(t) + " is trying to acquire lock:\n" + held_text(next) +
           "\n\nbut task is already holding lock:\n" + held_text(held) + "\n" + scenario_head +
           "       CPU0\n       ----\n" + left(act(held.id, held.mode, false)) +
           left(act(next.id, next.mode, false)) + scenario_end +
           " The nesting may be meant, and its annotation missing\n\n" + held_list(t);
  return r;
}

Report circular_report(const Task& t, const Circle& c) {
  const Edge& now = c.added;
  Report r;
  r.title = "possible circular locking dependency detected";
  r.text = headline(r.title) + self_text(t);
  if (now.cross)
    r.text += " is completing:\n(" + class_name(now.from) + "), at: " + place(now.from_where) +
              "\n\nafter it has had to acquire lock:\n" + lock_text(now.to, now.to_mode) +
              ", at: " + place(now.to_where) + "\n";
  else
    r.text += std::string(" is trying to ") + (c.to_is_event ? "wait for" : "acquire lock") +
              ":\n" + lock_text(now.to, now.to_mode) + ", at: " + place(now.to_where) +
              "\n\nbut task is already holding lock:\n" + lock_text(now.from, now.from_mode) +
              ", at: " + place(now.from_where) + "\n";
  r.text +=
      "\nwhich comes after it on a path of earlier acquisitions.\n\n"
      "the existing dependency chain (in reverse order) is:\n\n";
  for (size_t n = c.path.size(); n > 0; n--) {
    const Edge& e = *c.path[n - 1];
    r.text += chain_entry(n, e, task_text(e.task, e.tid)) + "\n";
  }
  r.text += chain_entry(0, now, self_text(t)) + scenario(c) + held_list(t);
  return r;
}

Report held_report(const Task& t, bool to_user) {
  Report r;
  r.title =
      to_user ? "lock held when returning to user space" : self_text(t) + " still has locks held";
  r.text = headline(r.title + "!") + self_text(t) +
           (to_user ? " is leaving the kernel with locks still held!\n" : " has ended.\n") +
           held_list(t);
  return r;
}

Report sleeping_report(const Task& t, Where w) {
  Report r;
  r.title = "sleeping function called from invalid context";
  r.text = "\nBUG: " + r.title + " at " + place(w) + "\n" + self_text(t) +
           " is in a section that must not block, non_block count: " + std::to_string(t.non_block) +
           "\n" + held_list(t);
  return r;
}

}  // namespace i915u::sync::lockdep
