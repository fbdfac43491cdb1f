// SPDX-License-Identifier: MIT
// The world of one execution: a mm, a device under one strategy, and what a scenario does with
// them.
#pragma once

#include <climits>
#include <initializer_list>
#include <memory>
#include <string>

#include "lab/explore/explorer.h"
#include "lab/model/device.h"
#include "lab/scenarios/scenario.h"

namespace i915u::lab {

class Lab final : public explore::World {
 public:
  Lab(const soft::StrategyName&, const Scenario&, uint32_t faults, bool lockdep);
  ~Lab() override;
  void setup() override;
  void check() override;

  /// The page table, for the lanes.
  std::string show() const { return mm_ ? mm_->show() : ""; }

  // --- for scenarios
  LabMm& mm() { return *mm_; }
  LabHost& host() { return *host_; }
  void thread(std::string name, std::function<void()> body) {
    spawn(std::move(name), std::move(body));
  }
  /// A handle of an object of `n` pages from `page` on; they count from 0.
  int object(int page, int n = 1);
  /// Before threads run: close() is going to be called, so that to look a handle up is a step.
  void will_close();
  void close(int handle);
  const std::shared_ptr<LabObject>& object_at(int handle) { return objects_[handle]; }
  /// Lookups return EAGAIN at once while there is an invalidate, rather than wait for its end.
  bool spins() const;
  /// As a user does: again after -EAGAIN, `tries` times in all. In the order of the handles. 0 or
  /// -errno; *out may be null.
  int submit(std::initializer_list<int> handles, std::shared_ptr<Request>* out = nullptr,
             int tries = INT_MAX);
  /// One submission must succeed, and the process must read what it wrote. `after` is for the text.
  void must_work(int handle, const char* after);
  /// What the last submission wrote is still there.
  void must_read(int page, const std::string& after);
  /// One submission, which the strategy may refuse, but not do wrongly.
  void submit_or_refused(int handle);
  /// What else the scenario needs to live as long as it does; destroyed once the threads have
  /// ended.
  std::shared_ptr<void> more;

 private:
  const soft::StrategyName& name_;
  const Scenario& scenario_;
  const uint32_t faults_;
  const bool lockdep_;
  int tag_ = 0;
  bool closes_ = false;
  uint32_t handles_ = 0;
  std::unique_ptr<LabMm> mm_;
  std::unique_ptr<LabHost> host_;
  std::unique_ptr<soft::Strategy> strategy_;
  std::unique_ptr<Gpu> gpu_;
  void close_all(bool given_up);
  std::vector<std::weak_ptr<LabObject>> made_;
  Objects objects_;  ///< by handle; null once closed
};

}  // namespace i915u::lab
