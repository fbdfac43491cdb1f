// SPDX-License-Identifier: MIT
// The lab's device: userptr objects, submissions as i915's execbuf makes them, and a GPU.
//
// What is checked, by whom it is broken at once:
//   - established: a request becomes visible to the GPU (submit(), with the object lock and, from
//     5.13 to 6.8, notifier_lock held for reading). None of its pages may be in an invalidate whose
//     start has returned and whose end was not called: mmu_notifier.h allows no new secondary
//     mapping of the range there. And each of its frames must be the one that the process has at
//     that page, writable if the GPU writes: else the lookup was before an invalidate that has
//     passed, and what the GPU writes is lost, or goes to somebody else. Looking pages up inside an
//     invalidate is no fault as long as they are not used.
//   - invalidate_range_start: where the strategy's notifier waits, it does not return while a
//     request may still write to the range: one that was visible before, or one that became visible
//     after the notifier had let go of the object and before it has returned. Where it does not
//     wait (6.9), only requests that were visible before write there, to frames that they have
//     pinned. There is no lock there that ties a request to its last check, and none is needed:
//     what comes between finds the frame pinned, as it does once the request is visible. So a
//     request counts as visible from that check on.
//   - GPU write: never to a freed frame, nor to one that is not pinned.
//   - reuse: after an innocent invalidate a submission succeeds, and what it writes the process
//     reads. Retries are not counted: one that never gets through livelocks.
//   - the end: no pin, no frame is left once all objects are closed.
// Deadlock and livelock are the explorer's.
//
// Of 4.16: one struct_mutex for all objects. Later: a lock per object (its resv).
// Left out: contexts, relocations, address spaces (one binding an object), fences of the user.
//
// A request holds its objects while it runs, and hands them to a worker to be freed, as i915 does.
// In scenarios that close one, whether a notifier still finds an object whose last reference goes
// is decided in steps: sync/weak.h.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lab/model/mm.h"
#include "soft/strategies/strategy.h"
#include "sync/thread.h"

namespace i915u::lab {

class LabObject;
struct Request;
using Objects = std::vector<std::shared_ptr<LabObject>>;

/// Lets go of them, one step each.
void put(Objects&);

/// A thread that does one item after another, in the order in which they were queued. It stands
/// before its first wait when start() returns, and at its last when stop() ends it: then what it
/// does races with what is done to the model, and not with its own begin and end.
class Worker {
 public:
  Worker(const char* name, const char* waits_for);
  ~Worker() { stop(); }
  void start(std::function<void()> item);
  void queue();  ///< in a step of the caller's
  void stop();

 private:
  const uint32_t list_, idle_;
  const char *name_, *waits_for_;
  bool began_ = false, stop_ = false;
  uint64_t left_ = 0, queued_ = 0, done_ = 0;
  sync::Thread thread_;
};

/// Objects whose requests are done.
class Retired {
 public:
  Retired();
  ~Retired() { stop(); }
  /// In a step of the caller's.
  void add(Objects);
  void start_worker();  ///< else they wait for the end
  /// Every request there was: one that an execution was given up with holds its objects still.
  std::vector<std::shared_ptr<Request>> all;
  void stop();  ///< frees what is there

 private:
  Objects objects_;
  bool works_ = false;
  Worker worker_;
};

/// One batch, which writes its tag into each of its pages.
struct Request {
  std::vector<LabMm::Use> pages;
  std::vector<uint32_t> activities;  ///< of its objects
  Objects objects;                   ///< until it is done
  int tag = 0;
  bool done = false;
  void finish(Retired&);
};

/// One engine: requests run in the order in which they became visible.
class Gpu {
 public:
  Gpu(LabMm&, Retired&);
  /// In a step of the caller's.
  void run(std::shared_ptr<Request>);

 private:
  void run_one();
  LabMm& mm_;
  Retired& retired_;
  std::deque<std::shared_ptr<Request>> requests_;
  Worker engine_;
};

struct Era {
  bool struct_mutex;   ///< 4.16: one lock for all objects
  bool notifier_lock;  ///< 5.13 to 6.8
  static Era of(const std::string& strategy);
};

class LabHost final : public soft::StrategyHost {
 public:
  LabHost(LabMm&, Era, uint32_t faults);
  soft::Mm& mm() override { return lab_mm; }
  sync::RwLock& notifier_lock() override { return notifier_lock_; }
  bool fault(soft::Fault f) override { return faults_ & f; }

  LabMm& lab_mm;
  const Era era;
  sync::Mutex struct_mutex;
  Retired& retired() { return retired_; }

 private:
  const uint32_t faults_;
  sync::RwLock notifier_lock_;
  Retired retired_;
};

class LabObject final : public soft::Userptr, public std::enable_shared_from_this<LabObject> {
 public:
  /// `closes`: its last reference may go while others look for it.
  LabObject(LabHost&, soft::Strategy&, int page, int n, bool closes);
  ~LabObject() override;
  int create() { return strategy_.create(*this); }
  /// Of an execution that was given up: work that was queued and never ran may hold it for ever.
  void abandon();

  sync::Mutex& object_lock() override { return host_.era.struct_mutex ? host_.struct_mutex : own_; }
  sync::Weak<soft::Userptr> weak() override { return {weak_from_this(), references}; }
  int unbind() override;
  void wait_idle() override;
  void put_pages() override;
  bool will_need() const override { return true; }

  const int page, n;
  // Scheduler's objects.
  const uint32_t activity;    ///< the requests below
  const uint32_t references;  ///< to it; 0 if it is not closed
  std::vector<std::shared_ptr<Request>> requests;
  bool bound = false;  ///< object_lock

 private:
  /// A step; null if all are done.
  std::vector<std::shared_ptr<Request>> busy();
  void wait(const std::vector<std::shared_ptr<Request>>&);

  LabHost& host_;
  soft::Strategy& strategy_;
  bool abandoned_ = false;
  sync::Mutex own_;
};

/// One try of an execbuf. 0 with *out, or -errno.
int submit(LabHost&, soft::Strategy&, Gpu&, const Objects&, int tag, std::shared_ptr<Request>* out);
/// Until it is done.
void wait(const Request&);

}  // namespace i915u::lab
