// SPDX-License-Identifier: MIT
#include "lab/model/lab.h"

#include <cerrno>

#include "lab/lockdep_reports.h"
#include "lab/model/step.h"
#include "sync/clock.h"

namespace i915u::lab {

static std::string errno_name(int err) {
  switch (-err) {
    case EAGAIN:
      return "EAGAIN";
    case EFAULT:
      return "EFAULT";
    case ENOENT:
      return "ENOENT";
    default:
      return "errno " + std::to_string(-err);
  }
}

Lab::Lab(const soft::StrategyName& name, const Scenario& scenario, uint32_t faults, bool lockdep)
    : name_(name), scenario_(scenario), faults_(faults), lockdep_(lockdep) {}

Lab::~Lab() {
  close_all(true);
}

// The objects' before the strategy's end, and the requests' end before the objects'.
void Lab::close_all(bool given_up) {
  more.reset();
  objects_.clear();
  gpu_.reset();
  if (host_) host_->retired().stop();
  if (given_up && strategy_)
    for (const auto& made : made_)
      if (const auto o = made.lock()) o->abandon();
  strategy_.reset();  // its workers end
}

void Lab::setup() {
  if (lockdep_ && LockdepReports::current) LockdepReports::current->forget();
  handles_ = sync::new_object("handles");
  mm_ = std::make_unique<LabMm>(scenario_.pages, name_.waits);
  host_ = std::make_unique<LabHost>(*mm_, Era::of(name_.name), faults_);
  gpu_ = std::make_unique<Gpu>(*mm_, host_->retired());
  strategy_ = name_.make(*host_);
  for (int p = 0; p < scenario_.pages; p++) mm_->populate(p);
  scenario_.setup(*this);
}

void Lab::check() {
  if (scenario_.after) scenario_.after(*this);
  close_all(false);
  mm_->check();
  const auto* reports = LockdepReports::current;
  if (lockdep_ && reports && !reports->title().empty()) explore::fail(reports->text());
}

int Lab::object(int page, int n) {
  auto o = std::make_shared<LabObject>(*host_, *strategy_, page, n, closes_);
  if (int err = o->create()) explore::fail("GEM_USERPTR: " + errno_name(err));
  made_.push_back(o);
  objects_.push_back(std::move(o));
  return static_cast<int>(objects_.size()) - 1;
}

void Lab::will_close() {
  closes_ = true;
  host_->retired().start_worker();
}

void Lab::close(int handle) {
  step(sync::Op::store, handles_, "handles");
  Objects last{std::exchange(objects_[handle], nullptr)};
  put(last);
}

bool Lab::spins() const {
  return name_.name == std::string("seqcount");
}

int Lab::submit(std::initializer_list<int> handles, std::shared_ptr<Request>* out, int tries) {
  std::shared_ptr<Request> r;
  const int tag = ++tag_;
  for (;;) {
    Objects objects;  // let go by put() where that may be the last time
    if (closes_) step(sync::Op::load, handles_, "handles");
    for (int h : handles) {
      if (!objects_[h]) return -ENOENT;
      objects.push_back(objects_[h]);
    }
    const int err = lab::submit(*host_, *strategy_, *gpu_, objects, tag, &r);
    if (closes_) put(objects);
    if (err != -EAGAIN || !--tries) {
      if (out) *out = std::move(r);
      return err;
    }
    sync::yield();
  }
}

void Lab::must_read(int page, const std::string& after) {
  if (mm_->content(page) != tag_)
    explore::fail("lost write: " + after +
                  " the process does not read what the GPU wrote to page " + std::to_string(page));
}

void Lab::must_work(int handle, const char* after) {
  std::shared_ptr<Request> r;
  if (int err = submit({handle}, &r))
    explore::fail(std::string("an object no longer works after ") + after + ": " + errno_name(err));
  wait(*r);
  for (int p = 0; p < objects_[handle]->n; p++)
    must_read(objects_[handle]->page + p, std::string("after ") + after);
}

void Lab::submit_or_refused(int handle) {
  std::shared_ptr<Request> r;
  if (submit({handle}, &r)) return;
  wait(*r);
  must_read(objects_[handle]->page, "in the end");
}

}  // namespace i915u::lab
