// SPDX-License-Identifier: MIT
#include "lab/model/device.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lab/model/step.h"

namespace i915u::lab {

using sync::Op;

static const sync::LockClass struct_mutex_class{"struct_mutex"},
    notifier_lock_class{"notifier_lock"}, object_lock_class{"object lock"};

const std::vector<int>& frames_of(const soft::UserPages&);

// --- Worker

Worker::Worker(const char* name, const char* waits_for)
    : list_(sync::new_object("list")),
      idle_(sync::new_object("idle")),
      name_(name),
      waits_for_(waits_for) {}

void Worker::start(std::function<void()> item) {
  thread_ = sync::Thread(name_, [this, item = std::move(item)] {
    began_ = true;
    touch(idle_);
    for (;;) {
      wait_more(list_, waits_for_, [this] { return stop_ || left_; });
      if (!left_) return;
      left_--;
      item();
      done_++;
      touch(idle_);
    }
  });
  wait_more(idle_, "idle", [this] { return began_; });
}

void Worker::queue() {
  touch(list_);
  left_++;
  queued_++;
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  sync::Uncancelled u;
  wait_more(idle_, "idle", [this] { return done_ == queued_; });
  stop_ = true;
  touch(list_);
  thread_.join();
}

// --- Gpu

Gpu::Gpu(LabMm& mm, Retired& retired)
    : mm_(mm), retired_(retired), engine_("gpu", "the ring's next request") {
  engine_.start([this] { run_one(); });
}

void Gpu::run(std::shared_ptr<Request> r) {
  engine_.queue();
  requests_.push_back(std::move(r));
}

void Gpu::run_one() {
  const auto r = requests_.front();
  requests_.pop_front();
  for (const auto& use : r->pages) {
    step(Op::store, mm_.object(use.page), page_label(Act::gpu_write, use.page));
    mm_.gpu_write(use, r->tag);
  }
  for (const auto& use : r->pages) {
    touch(mm_.object(use.page));
    mm_.retire(use);
  }
  r->finish(retired_);
}

void Request::finish(Retired& retired) {
  done = true;
  for (uint32_t a : activities) touch(a);
  retired.add(std::exchange(objects, {}));
}

// --- Retired

void put(Objects& objects) {
  while (!objects.empty()) {
    sync::let_go(objects.back()->references);
    objects.pop_back();
  }
}

Retired::Retired() : worker_("free", "the free list") {}

void Retired::add(Objects objects) {
  for (auto& o : objects) objects_.push_back(std::move(o));
  if (works_) worker_.queue();
}

void Retired::start_worker() {
  works_ = true;
  worker_.start([this] {
    Objects last = std::exchange(objects_, {});
    put(last);
  });
}

void Retired::stop() {
  worker_.stop();
  for (auto& r : all) r->objects.clear();
  objects_.clear();
}

// --- LabHost

Era Era::of(const std::string& strategy) {
  for (const char* old : {"none", "rwsem", "ban", "ban-late"})
    if (strategy == old) return {true, false};
  return {false, strategy != "interval-nowait"};
}

LabHost::LabHost(LabMm& m, Era e, uint32_t faults)
    : lab_mm(m),
      era(e),
      struct_mutex(struct_mutex_class),
      faults_(faults),
      notifier_lock_(notifier_lock_class) {}

// --- LabObject

LabObject::LabObject(LabHost& host, soft::Strategy& strategy, int p, int pages, bool closes)
    : Userptr(LabMm::addr(p), pages * page_size, false, host.mm().id()),
      page(p),
      n(pages),
      activity(sync::new_object("requests")),
      references(closes ? sync::new_object("references") : 0),
      host_(host),
      strategy_(strategy),
      own_(object_lock_class) {}

// Nobody else can reach it any more, so no lock; nor is any request left that uses it.
LabObject::~LabObject() {
  sync::Uncancelled u;
  put_pages();
  if (!abandoned_) strategy_.release(*this);
}

void LabObject::abandon() {
  sync::Uncancelled u;
  put_pages();
  strategy_.release(*this);
  abandoned_ = true;
}

std::vector<std::shared_ptr<Request>> LabObject::busy() {
  step(Op::store, activity, "requests");
  std::erase_if(requests, [](const auto& r) { return r->done; });
  return requests;
}

void LabObject::wait(const std::vector<std::shared_ptr<Request>>& all) {
  wait_more(activity, "requests", [&all] {
    return std::all_of(all.begin(), all.end(), [](const auto& r) { return r->done; });
  });
}

int LabObject::unbind() {
  if (!bound) return 0;
  if (const auto all = busy(); !all.empty()) {
    object_lock().unlock();
    wait(all);
    object_lock().lock();
    // Someone may have bound it again, and may use it.
    return unbind();
  }
  bound = false;
  return 0;
}

void LabObject::wait_idle() {
  if (const auto all = busy(); !all.empty()) wait(all);
}

void LabObject::put_pages() {
  if (!pages) return;
  pages->unpin(!host_.fault(soft::fault_lose_dirty), host_.fault(soft::fault_leak_pin) ? 1 : 0);
  pages.reset();
}

// --- submit

namespace {

/// The locks of all objects, in the order of their handles, which the caller keeps. Of many locks
/// lockdep is told that they nest under one acquisition (kernel: ww_acquire_ctx).
class Locks {
 public:
  explicit Locks(const Objects& objects) : all_of_them_(ww_class) {
    for (const auto& o : objects)
      if (all_.empty() || all_.back() != &o->object_lock()) all_.push_back(&o->object_lock());
    if (all_.size() == 1) {
      all_[held_++]->lock();
      return;
    }
    all_of_them_.lock();
    for (; held_ < all_.size(); held_++) all_[held_]->lock_nest(&all_of_them_);
  }
  ~Locks() {
    while (held_) all_[--held_]->unlock();
    if (all_.size() > 1) all_of_them_.unlock();
  }

 private:
  static inline const sync::LockClass ww_class{"reservation_ww_class_acquire"};
  sync::lockdep::Map all_of_them_;
  std::vector<sync::Mutex*> all_;
  size_t held_ = 0;
};

class NotifierRead {
 public:
  explicit NotifierRead(LabHost& h) : lock_(h.era.notifier_lock ? &h.notifier_lock() : nullptr) {
    if (lock_) lock_->down_read();
  }
  ~NotifierRead() {
    if (lock_) lock_->up_read();
  }

 private:
  sync::RwLock* lock_;
};

void establish(LabMm& mm, LabMm::Use& use) {
  touch(mm.object(use.page));
  mm.establish(use, true);
}

}  // namespace

// kernel: eb_relocate_parse (submit_init), eb_validate_vmas, eb_submit,
// i915_gem_object_userptr_submit_done.
int submit(LabHost& host, soft::Strategy& strategy, Gpu& gpu, const Objects& objects, int tag,
           std::shared_ptr<Request>* out) {
  for (const auto& o : objects)
    if (int err = strategy.submit_init(*o)) return err;
  Locks locks(objects);
  auto r = std::make_shared<Request>();
  r->tag = tag;
  for (const auto& o : objects) {
    if (!o->pages) return -EAGAIN;
    o->bound = true;
    const auto& frames = frames_of(*o->pages);
    for (int i = 0; i < o->n; i++) r->pages.push_back({o->page + i, frames[i]});
    r->activities.push_back(o->activity);
  }
  NotifierRead read(host);
  // Who waits for the objects waits for it from here on.
  r->objects = objects;
  host.retired().all.push_back(r);
  for (const auto& o : objects) {
    touch(o->activity);
    o->requests.push_back(r);
  }
  LabMm& mm = host.lab_mm;
  size_t checked = 0;  // pages
  for (const auto& o : objects) {
    if (int err = strategy.submit_done(*o)) {
      if (!mm.waits())
        for (size_t i = 0; i < checked; i++) mm.retire(r->pages[i]);
      r->finish(host.retired());
      return err;
    }
    for (int i = 0; i < o->n; i++, checked++)
      if (!mm.waits()) establish(mm, r->pages[checked]);
  }
  const int first = r->pages[0].page;
  step(Op::store, mm.object(first), page_label(Act::visible, first));
  for (auto& use : r->pages)
    if (mm.waits()) establish(mm, use);
  gpu.run(r);
  *out = std::move(r);
  return 0;
}

void wait(const Request& r) {
  lab::wait(r.activities[0], "request", [&r] { return r.done; });
}

}  // namespace i915u::lab
