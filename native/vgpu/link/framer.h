// SPDX-License-Identifier: MIT
// Cuts the stream of a unix socket into messages, and gives each the descriptors that came with it.
//
// A receive ends where data with descriptors ends, so that these belong to the message that holds
// the last byte of that receive, which may be the last of several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "vgpu/link/protocol.h"

namespace i915u::vgpu {

/// Descriptors that are closed unless they are taken.
class Descriptors {
 public:
  Descriptors() = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() { clear(); }

  void add(int fd) { fds_.push_back(fd); }
  /// -1: there is none.
  int take();
  void clear();

 private:
  std::deque<int> fds_;
};

class Framer {
 public:
  static constexpr size_t max_message = 64 << 10;
  static constexpr size_t max_descriptors = 16;

  Framer() : buffer_(new uint8_t[2 * max_message]) {}
  ~Framer();

  /// Where the next receive may write. Never empty after next() has said false.
  std::span<uint8_t> space();
  void received(size_t bytes, std::span<const int> fds);

  struct Message {
    vfio::Header header;
    std::span<const uint8_t> body;  ///< until the next call of next() or space()
  };
  /// False: more is needed, or the stream is broken.
  bool next(Message* message, Descriptors* fds);
  /// A header was not one; nothing after it can be understood.
  bool broken() const { return broken_; }

 private:
  std::unique_ptr<uint8_t[]> buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t received_ = 0;  // bytes, since the start
  bool broken_ = false;
  struct Passed {
    int fd;
    uint64_t last_byte;  // of the receive that it came with
  };
  std::deque<Passed> passed_;
};

}  // namespace i915u::vgpu
