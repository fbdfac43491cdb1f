// SPDX-License-Identifier: MIT
// A DRM node under /dev/dri.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "drm/device.h"
#include "drm/ioctls.h"

namespace i915u {
namespace {

constexpr unsigned drm_major = 226;  // Documentation/admin-guide/devices.txt

class NodeDevice final : public Device {
 public:
  NodeDevice(int fd, int null_fd) : fd_(fd), null_fd_(null_fd) {}
  ~NodeDevice() override {
    ::close(fd_);
    if (!closed_) ::close(null_fd_);
  }

  int ioctl(unsigned long request, void* arg) override {
    if (closed_) return -EBADF;
    const int ret = ::ioctl(fd_, request, arg);
    return ret >= 0 ? ret : error();
  }

  int64_t mmap(uint64_t addr, uint64_t len, int prot, int flags, uint64_t offset) override {
    if (closed_) return -EBADF;
    void* p = ::mmap(reinterpret_cast<void*>(addr), len, prot, flags, fd_, offset);
    return p != MAP_FAILED ? reinterpret_cast<int64_t>(p) : error();
  }

  Memory& memory() override { return DirectMemory::instance(); }

  // The number stays taken until the device is destroyed, by /dev/null: a call of another thread
  // that has passed the check above cannot reach a file that was opened since. A call already
  // inside the kernel holds its own reference to the DRM file.
  int close() override {
    if (closed_.exchange(true)) return -EBADF;
    const int ret = ::dup3(null_fd_, fd_, O_CLOEXEC) < 0 ? -errno : 0;
    ::close(null_fd_);
    return ret;
  }

  int fd() const override { return closed_ ? -1 : fd_; }

 private:
  // What /dev/null answers to a call that lost the race with close() is not the device's answer.
  int error() const { return closed_ ? -EBADF : -errno; }

  const int fd_, null_fd_;
  std::atomic<bool> closed_{false};
};

}  // namespace

std::unique_ptr<Device> open_node(const char* path, int* err, std::string* driver) {
  driver->clear();
  // Looked at before it is opened: to open a FIFO blocks, a watchdog starts, a tape rewinds.
  struct stat st;
  if (::stat(path, &st) < 0) {
    *err = -errno;
    return nullptr;
  }
  if (!S_ISCHR(st.st_mode) || major(st.st_rdev) != drm_major) {
    *err = -ENODEV;
    return nullptr;
  }
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    *err = -errno;
    return nullptr;
  }
  const int null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0) {
    *err = -errno;
    ::close(fd);
    return nullptr;
  }
  auto device = std::make_unique<NodeDevice>(fd, null_fd);
  Version version;
  *err = drm_version(*device, &version);
  if (*err == 0) {
    *driver = version.name;
    if (version.name != "i915") *err = -ENODEV;
  }
  if (*err < 0) return nullptr;
  return device;
}

}  // namespace i915u
