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

// --- Gpu

Gpu::Gpu(LabMm& mm, Retired& retired)
    : mm_(mm),
      retired_(retired),
      queue_(sync::new_object("ring")),
      thread_("gpu", [this] { loop(); }) {}

Gpu::~Gpu() {
  sync::Uncancelled u;
  stop_ = true;
  touch(queue_);
  thread_.join();
}

void Gpu::run(std::shared_ptr<Request> r) {
  touch(queue_);
  requests_.push_back(std::move(r));
}

void Gpu::loop() {
  for (;;) {
    lab::wait(queue_, "ring", [this] { return stop_ || !requests_.empty(); });
    if (requests_.empty()) return;
    const auto r = requests_.front();
    requests_.pop_front();
    for (const auto& use : r->pages) {
      step(Op::store, mm_.object(use.page), page_label(Act::gpu_write, use.page));
      mm_.gpu_write(use, r->tag);
    }
    r->finish(retired_);
  }
}

void Request::finish(Retired& retired) {
  done = true;
  for (uint32_t a : activities) touch(a);
  retired.add(std::exchange(objects, {}));
}

// --- Retired

Retired::Retired(sync::RwLock& l) : notifier_lock_(l), list_(sync::new_object("free list")) {}

Retired::~Retired() {
  stop();
}

void Retired::stop() {
  sync::Uncancelled u;
  stop_ = true;
  touch(list_);
  thread_.join();
  for (auto& r : all) r->objects.clear();
  objects_.clear();
}

void Retired::add(Objects objects) {
  touch(list_);
  for (auto& o : objects) objects_.push_back(std::move(o));
}

void Retired::start_worker() {
  thread_ = sync::Thread("free", [this] { loop(); });
}

void Retired::loop() {
  for (;;) {
    lab::wait(list_, "free list", [this] { return stop_ || !objects_.empty(); });
    if (objects_.empty()) return;
    Objects last = std::exchange(objects_, {});
    sync::WriteGuard w(notifier_lock_);
    last.clear();
  }
}

// --- LabHost

Era Era::of(const std::string& strategy) {
  for (const char* old : {"none", "rwsem", "ban", "ban-late"})
    if (strategy == old) return {true};
  return {false};
}

LabHost::LabHost(LabMm& m, Era e, uint32_t faults)
    : lab_mm(m),
      era(e),
      struct_mutex(struct_mutex_class),
      faults_(faults),
      notifier_lock_(notifier_lock_class),
      retired_(notifier_lock_) {}

// --- LabObject

LabObject::LabObject(LabHost& host, soft::Strategy& strategy, int p, int pages)
    : Userptr(LabMm::addr(p), pages * page_size, false, host.mm().id()),
      page(p),
      n(pages),
      activity(sync::new_object("requests")),
      host_(host),
      strategy_(strategy),
      own_(object_lock_class) {}

// Nobody else can reach it any more, so no lock; nor is any request left that uses it.
LabObject::~LabObject() {
  sync::Uncancelled u;
  put_pages();
  strategy_.release(*this);
}

std::vector<std::shared_ptr<Request>> LabObject::busy() {
  step(Op::store, activity, "requests");
  std::erase_if(requests, [](const auto& r) { return r->done; });
  return requests;
}

void LabObject::wait(const std::vector<std::shared_ptr<Request>>& all) {
  lab::wait(activity, "requests", [&all] {
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
  explicit NotifierRead(LabHost& h) : lock_(h.era.struct_mutex ? nullptr : &h.notifier_lock()) {
    if (lock_) lock_->down_read();
  }
  ~NotifierRead() {
    if (lock_) lock_->up_read();
  }

 private:
  sync::RwLock* lock_;
};

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
    for (int i = 0; i < o->n; i++) r->pages.push_back({o->page + i, frames[i], 0});
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
  for (const auto& o : objects) {
    if (int err = strategy.submit_done(*o)) {
      r->finish(host.retired());
      return err;
    }
  }
  const int first = r->pages[0].page;
  step(Op::store, host.lab_mm.object(first), page_label(Act::visible, first));
  for (auto& use : r->pages) {
    touch(host.lab_mm.object(use.page));
    host.lab_mm.establish(use, true);
  }
  gpu.run(r);
  *out = std::move(r);
  return 0;
}

void wait(const Request& r) {
  lab::wait(r.activities[0], "request", [&r] { return r.done; });
}

}  // namespace i915u::lab
