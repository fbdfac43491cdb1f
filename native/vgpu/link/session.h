// SPDX-License-Identifier: MIT
// What each message asks of the device, and the replies.
#pragma once

#include <cstdint>
#include <span>

#include "vgpu/device.h"
#include "vgpu/link/framer.h"

namespace i915u::vgpu {

class Session {
 public:
  /// Where replies go.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void send(std::span<const uint8_t> message) = 0;
  };

  Session(Device& device, Sink& sink) : device_(device), sink_(sink) {}

  void handle(const Framer::Message& message, Descriptors& fds);

 private:
  using Body = std::span<const uint8_t>;
  // Each answers 0 or a positive errno, and puts its reply's body in reply_.
  int version(Body body);
  int dma_map(Body body, Descriptors& fds);
  int dma_unmap(Body body);
  int device_info(Body body);
  int region_info(Body body);
  int irq_info(Body body);
  int set_irqs(Body body, Descriptors& fds);
  int region_read(Body body);
  int region_write(Body body);
  int write_multi(Body body);
  int write(uint32_t region, uint64_t offset, uint32_t size, const uint8_t* data);

  template <class T>
  void reply_with(const T& value) {
    append(&value, sizeof value);
  }
  void append(const void* data, size_t len);

  Device& device_;
  Sink& sink_;
  static constexpr size_t max_reply = 1024;
  uint8_t reply_[max_reply];
  size_t reply_size_ = 0;
};

}  // namespace i915u::vgpu
