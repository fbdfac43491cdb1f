// SPDX-License-Identifier: MIT
// The syncobj ioctls of the DRM core (kernel: drm_syncobj.c).
// The driver's algorithm: checks and errnos, binary and timeline waits, transfers, what can be
// exported and imported.
// Changed on purpose: a wait for any of several looks again every 100 µs while one of them has no
// fence yet, instead of being called back when it gets one.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "mem/uaccess.h"
#include "soft/fd_registry.h"
#include "soft/file.h"
#include "soft/ioctls.h"
#include "soft/request.h"
#include "sync/clock.h"

namespace i915u::soft {

using namespace uapi;

namespace {

constexpr uint32_t wait_deadline = 1u << 3;  // DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE, a mere hint

using Fences = std::vector<std::shared_ptr<Fence>>;
using Syncobjs = std::vector<std::shared_ptr<Syncobj>>;

// Syncobjs are no GPU's: a descriptor can be imported into any.
FdRegistry& syncobj_files() {
  static FdRegistry* files = new FdRegistry;
  return *files;
}

// KMALLOC_MAX_SIZE, which bounds the arrays that the kernel makes of what the user counts.
constexpr uint64_t kmalloc_max = 4 << 20;

// Sleeps until the first of some fences signals.
class AnyOf final : public FenceCallback {
 public:
  void fence_signalled(Fence&) override {
    sync::Guard g(lock_);
    done_ = true;
    wake_.wake_all();
  }
  void wait(uint64_t deadline) {
    sync::Guard g(lock_);
    wake_.wait(lock_, deadline, [&] { return done_; });
  }

 private:
  static constexpr sync::LockClass lock_class{"syncobj_any"};
  sync::Mutex lock_{lock_class};
  sync::WaitQueue wake_;
  bool done_ = false;
};

// kernel: drm_syncobj_array_find
int find_all(File& file, uint64_t handles, uint32_t count, Syncobjs* out) {
  if (count > kmalloc_max / sizeof(uint32_t)) return -ENOMEM;
  std::vector<uint32_t> h(count);
  if (copy_from_user(h.data(), handles, count * sizeof(uint32_t))) return -EFAULT;
  if (count > kmalloc_max / sizeof(void*)) return -ENOMEM;
  out->reserve(count);
  for (uint32_t handle : h) {
    out->push_back(file.lookup_syncobj(handle));
    if (!out->back()) return -ENOENT;
  }
  return 0;
}

// kernel: drm_syncobj_find_fence
int find_fence(File& file, uint32_t handle, uint64_t point, uint32_t flags,
               std::shared_ptr<Fence>* out) {
  constexpr uint64_t submit_timeout = 5000000000;
  const auto s = file.lookup_syncobj(handle);
  if (!s) return -ENOENT;
  Fences fences;
  int err = s->find(point, &fences);
  if (err && flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT) {
    err = s->wait_available(point, sync::now_ns() + submit_timeout);
    if (!err) err = s->find(point, &fences);
  }
  if (err) return err;
  *out = s->chain(point);
  if (!*out) *out = AllOf::make(fences);
  return 0;
}

// Adds 1 to an eventfd, which it keeps open until then.
class EventFd final : public FenceCallback {
 public:
  explicit EventFd(int fd) : fd_(fd) {}
  ~EventFd() override { close(fd_); }
  void fence_signalled(Fence&) override { add_one(); }
  void add_one() {
    const uint64_t one = 1;
    // An eventfd that is full stays so.
    if (write(fd_, &one, sizeof(one)) < 0) return;
  }

 private:
  const int fd_;
};

// kernel: eventfd_ctx_fdget. A descriptor of its own, or -errno.
int dup_eventfd(int fd) {
  char path[32], name[32] = {};
  snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
  if (readlink(path, name, sizeof(name) - 1) < 0) return -EBADF;
  if (strcmp(name, "anon_inode:[eventfd]") != 0) return -EINVAL;
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return own < 0 ? -errno : own;
}

bool all_signalled(const Fences& fences) {
  return std::all_of(fences.begin(), fences.end(), [](const auto& f) { return f->signalled(); });
}

// kernel: drm_syncobj_array_wait_timeout. `points` may be empty: the whole of each.
int wait_array(const Syncobjs& objs, const std::vector<uint64_t>& points, uint32_t flags,
               int64_t timeout_nsec, uint32_t* first) {
  const bool all = flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL;
  const bool available = flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE;
  const bool may_lack = available || flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT;
  const uint64_t deadline = static_cast<uint64_t>(std::max<int64_t>(timeout_nsec, 0));
  constexpr uint64_t look_again = 100000;
  *first = ~0u;
  for (bool again = false;; again = true) {
    size_t done = 0;
    bool lacking = false;
    Fences pending;
    for (size_t i = 0; i < objs.size(); i++) {
      Fences fences;
      if (int err = objs[i]->find(points.empty() ? 0 : points[i], &fences)) {
        if (!may_lack) return err;
        lacking = true;
        continue;
      }
      if (available || all_signalled(fences)) {
        if (!done++ && !(again && all)) *first = static_cast<uint32_t>(i);
        continue;
      }
      // One suffices to sleep on: the point has not signalled before it has.
      pending.push_back(*std::find_if(fences.begin(), fences.end(),
                                      [](const auto& f) { return !f->signalled(); }));
    }
    if (all ? done == objs.size() : done > 0) return 0;
    const uint64_t now = sync::now_ns();
    if (now >= deadline) return -ETIME;
    const uint64_t until = lacking ? std::min(deadline, now + look_again) : deadline;
    if (pending.empty()) {
      sync::sleep_ns(until - now);
    } else if (all || pending.size() == 1) {
      pending[0]->wait(until);
    } else {
      auto any = std::make_shared<AnyOf>();
      for (const auto& f : pending)
        if (!f->add_callback(any)) any->fence_signalled(*f);
      any->wait(until);
    }
  }
}

int read_points(uint64_t from, uint32_t count, std::vector<uint64_t>* points) {
  points->assign(count, 0);
  return from ? copy_from_user(points->data(), from, count * sizeof(uint64_t)) : 0;
}

}  // namespace

void reap_syncobj_files() {
  syncobj_files().reap();
}

int ioctl_syncobj_create(File& file, drm_syncobj_create& args) {
  if (args.flags & ~DRM_SYNCOBJ_CREATE_SIGNALED) return -EINVAL;
  auto s = std::make_shared<Syncobj>(args.flags & DRM_SYNCOBJ_CREATE_SIGNALED);
  sync::Guard g(file.lock);
  args.handle = file.syncobjs.add(std::move(s));
  return 0;
}

int ioctl_syncobj_destroy(File& file, drm_syncobj_destroy& args) {
  if (args.pad) return -EINVAL;
  std::shared_ptr<Syncobj> s;  // ends without the lock
  sync::Guard g(file.lock);
  s = file.syncobjs.remove(args.handle);
  return s ? 0 : -EINVAL;
}

int ioctl_syncobj_handle_to_fd(File& file, syncobj_handle_point& args) {
  if (args.pad) return -EINVAL;
  constexpr uint32_t of_point = 1u << 1;  // DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_TIMELINE
  const bool points = file.gpu.has(Change::sync_file_points);
  if (args.flags & ~(DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE | (points ? of_point : 0)))
    return -EINVAL;
  if (args.flags & DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE) {
    std::shared_ptr<Fence> f;
    const uint64_t point = args.flags & of_point ? args.point : 0;
    if (int err = find_fence(file, args.handle, point, 0, &f)) return err;
    const int fd = sync_file_create(std::move(f));
    if (fd < 0) return fd;
    args.fd = fd;
    return 0;
  }
  if (points && args.point) return -EINVAL;
  auto s = file.lookup_syncobj(args.handle);
  if (!s) return -EINVAL;
  syncobj_files().reap();
  // One file for each export, as the kernel has it.
  const int own = memfd_create("syncobj_file", MFD_CLOEXEC);
  if (own < 0) return -errno;
  uint64_t inode;
  const int fd = syncobj_files().open(own, O_RDONLY, O_CLOEXEC, std::move(s), &inode);
  close(own);
  if (fd < 0) return fd;
  args.fd = fd;
  return 0;
}

int ioctl_syncobj_fd_to_handle(File& file, syncobj_handle_point& args) {
  if (args.pad) return -EINVAL;
  constexpr uint32_t to_point = 1u << 1;  // DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_TIMELINE
  const bool points = file.gpu.has(Change::sync_file_points);
  if (args.flags & ~(DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE | (points ? to_point : 0)))
    return -EINVAL;
  if (args.flags & DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE) {
    auto f = sync_file_get_fence(args.fd);
    if (!f) return -EINVAL;
    const auto s = file.lookup_syncobj(args.handle);
    if (!s) return -ENOENT;
    if (args.flags & to_point && args.point)
      s->add_point(args.point, std::move(f));
    else
      s->replace(std::move(f));
    return 0;
  }
  if (points && args.point) return -EINVAL;
  int err;
  uint64_t inode;
  auto s = std::static_pointer_cast<Syncobj>(syncobj_files().find(args.fd, &inode, &err));
  if (!s) return -EINVAL;
  sync::Guard g(file.lock);
  args.handle = file.syncobjs.add(std::move(s));
  return 0;
}

int ioctl_syncobj_transfer(File& file, drm_syncobj_transfer& args) {
  if (args.pad) return -EINVAL;
  const auto to = file.lookup_syncobj(args.dst_handle);
  if (!to) return -ENOENT;
  std::shared_ptr<Fence> f;
  if (int err = find_fence(file, args.src_handle, args.src_point, args.flags, &f)) return err;
  if (args.dst_point)
    to->add_point(args.dst_point, std::move(f));
  else
    to->replace(std::move(f));  // a timeline, should it be one
  return 0;
}

int ioctl_syncobj_eventfd(File& file, syncobj_eventfd& args) {
  if (args.flags & ~DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE) return -EINVAL;
  if (args.pad) return -EINVAL;
  const auto s = file.lookup_syncobj(args.handle);
  if (!s) return -ENOENT;
  const int fd = dup_eventfd(args.fd);
  if (fd < 0) return fd;
  const auto event = std::make_shared<EventFd>(fd);
  s->when_available(args.point, [event, available = args.flags != 0](const Fences& fences) {
    if (available || !AllOf::make(fences)->add_callback(event)) event->add_one();
  });
  return 0;
}

int ioctl_syncobj_wait(File& file, drm_syncobj_wait& args) {
  const bool deadline = file.gpu.has(Change::syncobj_deadline);
  if (args.flags & ~(DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT |
                     (deadline ? wait_deadline : 0)))
    return -EINVAL;
  if (!args.count_handles) return deadline ? 0 : -EINVAL;
  Syncobjs objs;
  if (int err = find_all(file, args.handles, args.count_handles, &objs)) return err;
  uint32_t first;
  if (int err = wait_array(objs, {}, args.flags, args.timeout_nsec, &first)) return err;
  args.first_signaled = first;
  return 0;
}

int ioctl_syncobj_timeline_wait(File& file, drm_syncobj_timeline_wait& args) {
  const bool deadline = file.gpu.has(Change::syncobj_deadline);
  if (args.flags & ~(DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT |
                     DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE | (deadline ? wait_deadline : 0)))
    return -EINVAL;
  if (!args.count_handles) return deadline ? 0 : -EINVAL;
  Syncobjs objs;
  if (int err = find_all(file, args.handles, args.count_handles, &objs)) return err;
  std::vector<uint64_t> points;
  if (int err = read_points(args.points, args.count_handles, &points)) return err;
  uint32_t first;
  if (int err = wait_array(objs, points, args.flags, args.timeout_nsec, &first)) return err;
  args.first_signaled = first;
  return 0;
}

int ioctl_syncobj_reset(File& file, drm_syncobj_array& args) {
  if (args.pad || !args.count_handles) return -EINVAL;
  Syncobjs objs;
  if (int err = find_all(file, args.handles, args.count_handles, &objs)) return err;
  for (const auto& s : objs) s->replace(nullptr);
  return 0;
}

int ioctl_syncobj_signal(File& file, drm_syncobj_array& args) {
  if (args.pad || !args.count_handles) return -EINVAL;
  Syncobjs objs;
  if (int err = find_all(file, args.handles, args.count_handles, &objs)) return err;
  for (const auto& s : objs) s->replace(signalled_fence());
  return 0;
}

int ioctl_syncobj_timeline_signal(File& file, drm_syncobj_timeline_array& args) {
  if (args.flags || !args.count_handles) return -EINVAL;
  Syncobjs objs;
  if (int err = find_all(file, args.handles, args.count_handles, &objs)) return err;
  std::vector<uint64_t> points;
  if (int err = read_points(args.points, args.count_handles, &points)) return err;
  for (size_t i = 0; i < objs.size(); i++) objs[i]->add_point(points[i], signalled_fence());
  return 0;
}

int ioctl_syncobj_query(File& file, drm_syncobj_timeline_array& args) {
  if (args.flags & ~DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED) return -EINVAL;
  if (!args.count_handles) return -EINVAL;
  Syncobjs objs;
  if (int err = find_all(file, args.handles, args.count_handles, &objs)) return err;
  for (size_t i = 0; i < objs.size(); i++) {
    const uint64_t point = args.flags ? objs[i]->last_point() : objs[i]->signalled_point();
    if (copy_to_user(args.points + i * sizeof(point), &point, sizeof(point))) return -EFAULT;
  }
  return 0;
}

}  // namespace i915u::soft
