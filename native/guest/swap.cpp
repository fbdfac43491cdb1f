// SPDX-License-Identifier: MIT
#include "guest/swap.h"

#include <fcntl.h>
#include <sys/swap.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace i915u::guest {

namespace {

constexpr uint64_t page = 4096;

/// The first page of a swap area (include/linux/swap.h, union swap_header): version and last page
/// at 1024, the magic in the last ten bytes.
int make_swap(int fd, uint64_t bytes) {
  alignas(8) char header[page] = {};
  const uint32_t version = 1, last_page = static_cast<uint32_t>(bytes / page - 1);
  memcpy(header + 1024, &version, sizeof version);
  memcpy(header + 1028, &last_page, sizeof last_page);
  memcpy(header + page - 10, "SWAPSPACE2", 10);
  return pwrite(fd, header, sizeof header, 0) == sizeof header ? 0 : -errno;
}

}  // namespace

int swap_on_zram(const std::string& disk, uint64_t bytes) {
  bytes &= ~(page - 1);
  if (disk.empty() || disk.find('/') != std::string::npos || bytes < 16 * page) return -EINVAL;
  const std::string size = "/sys/block/" + disk + "/disksize", path = "/dev/" + disk;
  const std::string text = std::to_string(bytes);
  int fd = open(size.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int err = write(fd, text.data(), text.size()) < 0 ? -errno : 0;
  close(fd);
  if (err) return err;
  fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  err = make_swap(fd, bytes);
  close(fd);
  if (err) return err;
  return swapon(path.c_str(), 0) < 0 ? -errno : 0;
}

}  // namespace i915u::guest
