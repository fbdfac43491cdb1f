// SPDX-License-Identifier: MIT
#include "vgpu/link/framer.h"

#include <unistd.h>

#include <cstring>

namespace i915u::vgpu {

int Descriptors::take() {
  if (fds_.empty()) return -1;
  const int fd = fds_.front();
  fds_.pop_front();
  return fd;
}

void Descriptors::clear() {
  for (const int fd : fds_) close(fd);
  fds_.clear();
}

Framer::~Framer() {
  for (const Passed& p : passed_) close(p.fd);
}

std::span<uint8_t> Framer::space() {
  if (begin_) {
    memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.get() + end_, 2 * max_message - end_};
}

void Framer::received(size_t bytes, std::span<const int> fds) {
  end_ += bytes;
  received_ += bytes;
  for (const int fd : fds) {
    if (bytes && passed_.size() < max_descriptors)
      passed_.push_back({fd, received_ - 1});
    else
      close(fd);
  }
}

bool Framer::next(Message* message, Descriptors* fds) {
  fds->clear();
  if (broken_ || end_ - begin_ < sizeof(vfio::Header)) return false;
  memcpy(&message->header, buffer_.get() + begin_, sizeof(vfio::Header));
  const size_t size = message->header.size;
  if (size < sizeof(vfio::Header) || size > max_message) {
    broken_ = true;
    return false;
  }
  if (end_ - begin_ < size) return false;
  message->body = {buffer_.get() + begin_ + sizeof(vfio::Header), size - sizeof(vfio::Header)};
  begin_ += size;
  const uint64_t end = received_ - (end_ - begin_);
  while (!passed_.empty() && passed_.front().last_byte < end) {
    fds->add(passed_.front().fd);
    passed_.pop_front();
  }
  return true;
}

}  // namespace i915u::vgpu
