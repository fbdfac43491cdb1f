// SPDX-License-Identifier: MIT
// A scheduler whose threads are fibers of the OS thread that calls run(). A Policy chooses who goes
// on at each step. Two executions with the same choices are the same. x86-64.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sync/scheduler.h"

namespace i915u::sync {

class FiberScheduler final : public Scheduler {
 public:
  static constexpr uint32_t max_threads = 32;  ///< of one execution; one more is a failure
  static constexpr uint32_t none = UINT32_MAX;

  /// That a step was of an object. The accesses of one object form a list, newest first.
  struct Access {
    uint32_t step;
    uint32_t thread;
    uint32_t object;
    uint32_t older;      ///< access of the same object, or none
    uint32_t older_own;  ///< access of the same thread, or none
    bool read;           ///< commutes with other reads
    bool free;           ///< nobody had the object, a lock, before
  };
  struct Hold {
    uint32_t object;
    const char* what;
    bool read;
  };
  struct Task {
    std::string name;
    uint32_t parent;
    uint32_t born;  ///< the step that made it
    Op op;          ///< what it is about to do
    bool ended;
    std::vector<Hold> held;
    bool waits() const { return ready_ != nullptr; }

   private:
    friend class FiberScheduler;
    bool (*ready_)(const void*);
    const void* arg_;
    uint32_t newest_own_;  ///< access
    uint32_t round_;       ///< accesses from here on were made since it last yielded
    bool goes_on_;         ///< although it yields
    int uncancelled_;
    uint32_t steps_cancelled_;
  };
  class Policy {
   public:
    virtual ~Policy() = default;
    /// The number of a thread in able(), or -1: the execution is given up. Called outside of all
    /// threads.
    virtual int choose(FiberScheduler&) = 0;
    /// A step was made, the last one too: its accesses are from first_access() on.
    virtual void stepped(FiberScheduler&) {}
    /// Nobody can go on, and somebody has not ended.
    virtual void stuck(FiberScheduler&) {}
  };
  enum class End : uint8_t { ended, deadlock, failed, given_up };

  FiberScheduler();
  ~FiberScheduler() override;
  FiberScheduler(const FiberScheduler&) = delete;
  FiberScheduler& operator=(const FiberScheduler&) = delete;

  /// For who explores by chance alone: primitives that were made outside of the execution may be
  /// used in it. No primitive has a number then, no step is an access, and who yields may be
  /// chosen.
  void allow_outside() { outside_ = true; }

  /// Thread 0 runs `main`. Returns when all threads have ended, or have been unwound.
  End run(std::function<void()> main, Policy&);
  /// What fail() was called with, or who waits for what in the deadlock, a line each.
  const std::string& what() const { return what_; }

  uint32_t steps() const { return step_; }      ///< made so far
  uint32_t thread() const { return current_; }  ///< that made the last one
  uint32_t threads() const { return threads_; }
  const Task& task(uint32_t thread) const { return tasks_[thread]; }
  bool failed() const { return failed_; }  ///< in the middle of the last step
  uint32_t able() const { return able_; }  ///< bit mask of the threads that can be chosen
  const Access& access(uint32_t i) const { return accesses_[i]; }
  uint32_t accesses() const { return static_cast<uint32_t>(accesses_.size()); }
  uint32_t first_access() const { return first_access_; }  ///< of the last step
  uint32_t newest_access(uint32_t object) const { return objects_[object].newest; }

  /// By a thread: the execution ends here.
  [[noreturn]] void fail(std::string what);

  uint32_t new_object(const char*) override;
  void step(const Op&, bool (*ready)(const void*), const void* arg) override;
  void touch(uint32_t object, bool read) override;
  void taken(uint32_t object, const char* what, bool read) override;
  void released(uint32_t object) override;
  uint32_t spawn(std::string name, std::function<void()> body) override;
  void join(uint32_t thread, Where) override;
  void uncancelled(int by) override;

 private:
  struct Fiber;
  struct Object {
    uint32_t newest;
    uint32_t holders;
  };
  friend struct FiberEntry;
  uint32_t add_task(std::string name, std::function<void()> body);
  void find_able();
  bool looked_at_has_changed(uint32_t thread) const;
  void resume(uint32_t thread);
  void park(Fiber&);
  void run_body(Fiber&);
  void cancelled_step();
  void unwind_all();
  std::string waits_for(uint32_t thread) const;

  std::vector<std::unique_ptr<Fiber>> fibers_;  ///< by thread; kept from execution to execution
  std::vector<Task> tasks_;
  std::vector<Object> objects_;
  std::vector<Access> accesses_;
  uint32_t threads_ = 0, step_ = 0, current_ = none, able_ = 0, first_access_ = 0, live_ = 0;
  bool cancelling_ = false, failed_ = false, outside_ = false;
  std::string what_;
  void* sp_ = nullptr;  ///< of run(), while a thread runs
  // Of run()'s stack; for the sanitizers.
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] const void* stack_ = nullptr;
  [[maybe_unused]] size_t stack_size_ = 0;
  [[maybe_unused]] void* tsan_ = nullptr;
};

}  // namespace i915u::sync
