// SPDX-License-Identifier: MIT
#include "vgpu/link/session.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace i915u::vgpu {

namespace {

/// The fixed part that a body begins with.
template <class T>
bool get(std::span<const uint8_t> body, T* to) {
  if (body.size() < sizeof(T)) return false;
  memcpy(to, body.data(), sizeof(T));
  return true;
}

constexpr bool is_access_size(uint32_t n) {
  return n == 1 || n == 2 || n == 4 || n == 8;
}

uint64_t region_size(uint32_t index) {
  switch (index) {
    case 0:
      return bar0_bytes;
    case 2:
      return bar2_bytes;
    case 4:
      return bar4_bytes;
    case vfio::config_region:
      return ConfigSpace::bytes;
  }
  return 0;
}

// No region can be mapped: one that can turns QEMU's posted writes off for the whole device, and a
// posted register write is what most of the driver's time goes to. write_multiple lets QEMU send
// many of them in one message.
constexpr char capabilities[] =
    R"({"capabilities":{"max_msg_fds":8,"max_data_xfer_size":32768,"write_multiple":true}})";

}  // namespace

void Session::append(const void* data, size_t len) {
  if (len > max_reply - reply_size_) return;
  memcpy(reply_ + reply_size_, data, len);
  reply_size_ += len;
}

void Session::handle(const Framer::Message& m, Descriptors& fds) {
  count(device_.hw.stats.messages);
  const vfio::Header& h = m.header;
  if (h.flags & vfio::flag_type) return;  // a reply; this side asks nothing
  reply_size_ = sizeof(vfio::Header);
  int error = ENOTSUP;
  switch (h.command) {
    case vfio::version:
      error = version(m.body);
      break;
    case vfio::dma_map:
      error = dma_map(m.body, fds);
      break;
    case vfio::dma_unmap:
      error = dma_unmap(m.body);
      break;
    case vfio::device_get_info:
      error = device_info(m.body);
      break;
    case vfio::device_get_region_info:
      error = region_info(m.body);
      break;
    case vfio::device_get_irq_info:
      error = irq_info(m.body);
      break;
    case vfio::device_set_irqs:
      error = set_irqs(m.body, fds);
      break;
    case vfio::region_read:
      error = region_read(m.body);
      break;
    case vfio::region_write:
      error = region_write(m.body);
      break;
    case vfio::region_write_multi:
      error = write_multi(m.body);
      break;
    case vfio::device_reset:
      device_.reset();
      error = 0;
      break;
  }
  // QEMU asks for the interrupts that are not there, and is content with EINVAL.
  if (error && h.command != vfio::device_get_irq_info)
    device_.hw.stats.mistake(Statistics::bad_message, "command %u of %zu bytes: %s", h.command,
                             m.body.size(), strerror(error));
  if (h.flags & vfio::flag_no_reply) return;
  if (error) reply_size_ = sizeof(vfio::Header);
  const vfio::Header reply{h.id, h.command, static_cast<uint32_t>(reply_size_),
                           vfio::flag_reply | (error ? vfio::flag_error : 0),
                           static_cast<uint32_t>(error)};
  memcpy(reply_, &reply, sizeof reply);
  sink_.send({reply_, reply_size_});
}

int Session::version(Body body) {
  vfio::Version v;
  if (!get(body, &v)) return EINVAL;
  if (v.major != 0) return EPROTONOSUPPORT;
  reply_with(vfio::Version{0, 0});
  append(capabilities, sizeof capabilities);  // with its NUL
  return 0;
}

int Session::dma_map(Body body, Descriptors& fds) {
  vfio::DmaMap r;
  if (!get(body, &r)) return EINVAL;
  const int fd = fds.take();
  if (fd < 0) return 0;  // a ROM or the like, which no driver does DMA to
  const int err = device_.map(fd, r.offset, r.address, r.size, r.flags & vfio::dma_writable);
  close(fd);
  if (err)
    device_.hw.stats.mistake(Statistics::bad_dma_map, "0x%llx, 0x%llx bytes: %s",
                             static_cast<unsigned long long>(r.address),
                             static_cast<unsigned long long>(r.size), strerror(-err));
  return -err;
}

int Session::dma_unmap(Body body) {
  vfio::DmaUnmap r;
  if (!get(body, &r)) return EINVAL;
  if (r.flags & vfio::unmap_all) {
    device_.unmap_all();
  } else {
    const int err = device_.unmap(r.address, r.size);
    // What was mapped without a descriptor is not known here.
    if (err && err != -ENOENT) return -err;
  }
  reply_with(r);
  return 0;
}

int Session::device_info(Body body) {
  vfio::DeviceInfo r;
  if (!get(body, &r)) return EINVAL;
  reply_with(vfio::DeviceInfo{sizeof r, vfio::device_resets | vfio::device_pci, vfio::num_regions,
                              vfio::num_irqs});
  return 0;
}

int Session::region_info(Body body) {
  vfio::RegionInfo r;
  if (!get(body, &r) || r.argsz < sizeof r || r.index >= vfio::num_regions) return EINVAL;
  const uint64_t size = region_size(r.index);
  reply_with(vfio::RegionInfo{sizeof r, size ? vfio::region_readable | vfio::region_writable : 0,
                              r.index, 0, size, 0});
  return 0;
}

int Session::irq_info(Body body) {
  vfio::IrqInfo r;
  if (!get(body, &r) || r.index > vfio::msi_index) return EINVAL;
  const bool msi = r.index == vfio::msi_index;
  reply_with(vfio::IrqInfo{sizeof r, msi ? vfio::irq_eventfd | vfio::irq_no_resize : 0, r.index,
                           msi ? 1u : 0u});
  return 0;
}

int Session::set_irqs(Body body, Descriptors& fds) {
  vfio::SetIrqs r;
  if (!get(body, &r) || r.index >= vfio::num_irqs) return EINVAL;
  if (r.index != vfio::msi_index || !(r.flags & vfio::set_action_trigger)) return 0;
  if (r.count == 0) {
    device_.set_msi(-1);
    return 0;
  }
  if (r.start != 0 || r.count != 1 || !(r.flags & vfio::set_data_eventfd)) return EINVAL;
  device_.set_msi(fds.take());
  return 0;
}

int Session::region_read(Body body) {
  vfio::RegionAccess r;
  if (!get(body, &r)) return EINVAL;
  if (r.region == vfio::config_region) {
    if (r.count > ConfigSpace::bytes || r.offset > ConfigSpace::bytes - r.count) return EINVAL;
    reply_with(r);
    for (uint32_t i = 0; i < r.count; i++)
      reply_with(device_.config.read(static_cast<uint32_t>(r.offset) + i));
    return 0;
  }
  const uint64_t size = region_size(r.region);
  if (!is_access_size(r.count) || r.offset >= size || r.count > size - r.offset) return EINVAL;
  const uint64_t value = device_.read(r.region, r.offset, r.count);
  reply_with(r);
  append(&value, r.count);
  return 0;
}

int Session::write(uint32_t region, uint64_t offset, uint32_t size, const uint8_t* data) {
  const uint64_t limit = region_size(region);
  if (!is_access_size(size) || offset >= limit || size > limit - offset) return EINVAL;
  if (region == vfio::config_region) {
    for (uint32_t i = 0; i < size; i++)
      device_.config.write(static_cast<uint32_t>(offset) + i, data[i]);
  } else {
    uint64_t value = 0;
    memcpy(&value, data, size);
    device_.write(region, offset, value, size);
  }
  return 0;
}

int Session::region_write(Body body) {
  vfio::RegionAccess r;
  if (!get(body, &r) || r.count > body.size() - sizeof r) return EINVAL;
  const int error = write(r.region, r.offset, r.count, body.data() + sizeof r);
  reply_with(r);
  return error;
}

int Session::write_multi(Body body) {
  uint64_t n;
  if (!get(body, &n) || n > (body.size() - sizeof n) / sizeof(vfio::MultiWrite)) return EINVAL;
  int error = 0;
  for (uint64_t i = 0; i < n; i++) {
    vfio::MultiWrite w;
    memcpy(&w, body.data() + sizeof n + i * sizeof w, sizeof w);
    if (const int e = write(w.region, w.offset, w.count, w.data)) error = e;
  }
  return error;
}

}  // namespace i915u::vgpu
