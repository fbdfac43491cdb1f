// SPDX-License-Identifier: MIT
// The vfio-user messages of the emulated GPU, its registers and its interrupt.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "test/harness.h"
#include "test/vgpu_machine.h"
#include "vgpu/link/framer.h"
#include "vgpu/link/session.h"

using namespace i915u;
using namespace i915u::vgpu;
using vgpu::test::Machine;
using vgpu::test::without_threads;

namespace {

struct Client final : Session::Sink {
  explicit Client(const Options& o = without_threads()) : m(o), session(m.device, *this) {}

  void send(std::span<const uint8_t> message) override {
    replies++;
    memcpy(&header, message.data(), sizeof header);
    body.assign(message.begin() + sizeof header, message.end());
  }
  /// The reply's error.
  uint32_t ask(uint16_t command, const std::vector<uint8_t>& request, uint32_t flags = 0,
               int fd = -1) {
    Framer::Message message{{1, command, static_cast<uint32_t>(16 + request.size()), flags, 0},
                            request};
    Descriptors fds;
    if (fd >= 0) fds.add(fd);
    header = {};
    session.handle(message, fds);
    return header.error;
  }
  template <class T>
  uint32_t ask_with(uint16_t command, const T& request, int fd = -1) {
    return ask(command, bytes(request), 0, fd);
  }
  template <class T>
  static std::vector<uint8_t> bytes(const T& v) {
    const auto* p = reinterpret_cast<const uint8_t*>(&v);
    return {p, p + sizeof v};
  }
  template <class T>
  T reply() {
    T t{};
    memcpy(&t, body.data(), std::min(sizeof t, body.size()));
    return t;
  }

  Machine m;
  Session session;
  vfio::Header header{};
  std::vector<uint8_t> body;
  int replies = 0;
};

std::vector<uint8_t> message(uint16_t command, size_t body) {
  std::vector<uint8_t> out(16 + body);
  const vfio::Header h{0, command, static_cast<uint32_t>(out.size()), 0, 0};
  memcpy(out.data(), &h, sizeof h);
  return out;
}

void feed(Framer& f, const std::vector<uint8_t>& bytes, std::span<const int> fds = {}) {
  auto space = f.space();
  memcpy(space.data(), bytes.data(), bytes.size());
  f.received(bytes.size(), fds);
}

uint64_t drained(int eventfd) {
  uint64_t n = 0;
  return read(eventfd, &n, sizeof n) == sizeof n ? n : 0;
}

}  // namespace

TEST(vgpu_descriptor_belongs_to_the_last_message_of_its_receive) {
  Framer f;
  auto bytes = message(2, 32);
  const auto second = message(2, 32);
  bytes.insert(bytes.end(), second.begin(), second.end());
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  feed(f, bytes, {&fd, 1});
  Framer::Message m;
  Descriptors fds;
  CHECK(f.next(&m, &fds));
  CHECK_EQ(fds.take(), -1);
  CHECK(f.next(&m, &fds));
  CHECK_EQ(fds.take(), fd);
  CHECK(!f.next(&m, &fds));
  close(fd);
}

TEST(vgpu_messages_may_come_in_pieces) {
  Framer f;
  Framer::Message m;
  Descriptors fds;
  const auto bytes = message(10, 20);
  for (size_t i = 0; i < bytes.size(); i++) {
    CHECK(!f.next(&m, &fds));
    feed(f, {bytes[i]});
  }
  CHECK(f.next(&m, &fds));
  CHECK_EQ(m.body.size(), 20u);
}

TEST(vgpu_impossible_header_breaks_the_stream) {
  for (const uint32_t size : {0u, 15u, static_cast<uint32_t>(Framer::max_message) + 1, ~0u}) {
    Framer f;
    auto bytes = message(9, 0);
    memcpy(bytes.data() + 4, &size, 4);
    feed(f, bytes);
    Framer::Message m;
    Descriptors fds;
    CHECK(!f.next(&m, &fds));
    CHECK(f.broken());
  }
}

TEST(vgpu_truncated_messages_are_refused) {
  Client c;
  for (uint16_t command = 0; command < 20; command++) {
    if (command == vfio::device_reset) continue;
    CHECK(c.ask(command, {}) != 0);
    CHECK(c.header.flags & vfio::flag_error);
  }
}

TEST(vgpu_version_reply_is_a_string_with_its_end) {
  Client c;
  CHECK_EQ(c.ask_with(vfio::version, vfio::Version{0, 0}), 0u);
  CHECK_EQ(c.body.back(), 0);
  CHECK(strstr(reinterpret_cast<char*>(c.body.data() + 4), "\"write_multiple\":true"));
  CHECK(c.ask_with(vfio::version, vfio::Version{1, 0}) != 0);
}

TEST(vgpu_unused_regions_have_no_size) {
  Client c;
  for (uint32_t i = 0; i < vfio::num_regions; i++) {
    CHECK_EQ(c.ask_with(vfio::device_get_region_info, vfio::RegionInfo{32, 0, i, 0, 0, 0}), 0u);
    const auto r = c.reply<vfio::RegionInfo>();
    const uint64_t size = i == 0 ? 16 << 20 : i == 2 ? 256 << 20 : i == 4 ? 64 : i == 7 ? 256 : 0;
    CHECK_EQ(r.size, size);
    CHECK_EQ(r.flags, size ? 3u : 0u);
  }
  CHECK(c.ask_with(vfio::device_get_region_info, vfio::RegionInfo{32, 0, 9, 0, 0, 0}) != 0);
}

TEST(vgpu_accesses_outside_a_region_are_refused) {
  Client c;
  const auto read = [&](uint32_t region, uint64_t offset, uint32_t n) {
    return c.ask_with(vfio::region_read, vfio::RegionAccess{offset, region, n});
  };
  CHECK_EQ(read(0, 0x9120, 4), 0u);
  CHECK_EQ(read(0, bar0_bytes, 4), unsigned{EINVAL});
  CHECK_EQ(read(0, bar0_bytes - 4, 8), unsigned{EINVAL});
  CHECK_EQ(read(0, UINT64_MAX, 4), unsigned{EINVAL});
  CHECK_EQ(read(0, 0, 3), unsigned{EINVAL});
  CHECK_EQ(read(0, 0, ~0u), unsigned{EINVAL});
  CHECK_EQ(read(1, 0, 4), unsigned{EINVAL});
  CHECK_EQ(read(~0u, 0, 4), unsigned{EINVAL});
  CHECK_EQ(read(7, 0, 256), 0u);
  CHECK_EQ(c.body.size(), 16u + 256);
  CHECK_EQ(read(7, 1, 256), unsigned{EINVAL});
  CHECK_EQ(read(0, register_bytes - 4, 8), 0u);
  CHECK_EQ(read(0, register_bytes - 1, 4), 0u);
}

TEST(vgpu_posted_writes_get_no_reply_and_many_come_at_once) {
  Client c;
  std::vector<uint8_t> body(8 + 2 * sizeof(vfio::MultiWrite));
  const uint64_t n = 2;
  const vfio::MultiWrite w[2] = {{0xa008, 0, 4, {1, 2, 3, 4}}, {0xa00c, 0, 4, {5}}};
  memcpy(body.data(), &n, 8);
  memcpy(body.data() + 8, w, sizeof w);
  CHECK_EQ(c.ask(vfio::region_write_multi, body, vfio::flag_no_reply), 0u);
  CHECK_EQ(c.replies, 0);
  CHECK_EQ(c.m.read(0xa008), 0x04030201u);
  CHECK_EQ(c.m.read(0xa00c), 5u);
  const uint64_t many = UINT64_MAX / 24 + 2;
  memcpy(body.data(), &many, 8);
  CHECK_EQ(c.ask(vfio::region_write_multi, body), unsigned{EINVAL});
}

TEST(vgpu_memory_of_the_client_is_mapped_and_unmapped) {
  Client c;
  const int fd = memfd_create("vgpu-test", MFD_CLOEXEC);
  CHECK_EQ(ftruncate(fd, 8192), 0);
  const vfio::DmaMap map{32, 3, 0, 1ull << 32, 8192};
  CHECK_EQ(c.ask_with(vfio::dma_map, map, dup(fd)), 0u);
  CHECK_EQ(c.ask_with(vfio::dma_map, map, dup(fd)), unsigned{EEXIST});
  CHECK_EQ(c.ask_with(vfio::dma_map, map), 0u);  // without memory: a ROM
  CHECK(c.m.device.hw.memory.at(1ull << 32, 8192, true));
  CHECK_EQ(c.ask_with(vfio::dma_unmap, vfio::DmaUnmap{24, 0, 1ull << 32, 8192}), 0u);
  CHECK_EQ(c.body.size(), sizeof(vfio::DmaUnmap));
  CHECK(!c.m.device.hw.memory.at(1ull << 32, 1, false));
  close(fd);
}

TEST(vgpu_msi_goes_out_on_the_edge) {
  Client c;
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK_EQ(c.ask_with(vfio::device_set_irqs, vfio::SetIrqs{20, 0x24, 1, 0, 1}, dup(fd)), 0u);
  auto& irq = c.m.device.hw.interrupts;
  irq.raise(bcs0, user_event);
  irq.raise(bcs0, user_event);
  irq.raise(rcs0, context_switch_event);
  CHECK_EQ(drained(fd), 1u);
  CHECK_EQ(c.m.read(reg::master_irq), 1u << 31 | 3);
  // As i915's handler: all off, identities cleared, on again.
  c.m.write(reg::master_irq, 0);
  CHECK_EQ(c.m.read(reg::gt_irq + 8), user_event << 16 | context_switch_event);
  c.m.write(reg::gt_irq + 8, ~0u);
  c.m.write(reg::gt_irq + 8, ~0u);  // the user event came twice
  irq.raise(vecs0, flush_event);
  CHECK_EQ(drained(fd), 0u);
  c.m.write(reg::master_irq, 1u << 31);
  CHECK_EQ(drained(fd), 1u);
  CHECK_EQ(c.ask_with(vfio::device_set_irqs, vfio::SetIrqs{20, 0x21, 1, 0, 0}), 0u);
  c.m.write(reg::gt_irq + 0x38, ~0u);
  irq.raise(vecs0, flush_event);
  CHECK_EQ(drained(fd), 0u);
  close(fd);
}

TEST(vgpu_event_between_read_and_clear_of_its_identity_is_not_lost) {
  Client c;
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  c.ask_with(vfio::device_set_irqs, vfio::SetIrqs{20, 0x24, 1, 0, 1}, dup(fd));
  auto& irq = c.m.device.hw.interrupts;
  irq.raise(bcs0, user_event);
  CHECK_EQ(drained(fd), 1u);
  c.m.write(reg::master_irq, 0);
  const uint32_t seen = c.m.read(reg::gt_irq + 8);
  irq.raise(bcs0, user_event);
  c.m.write(reg::gt_irq + 8, seen);
  CHECK_EQ(c.m.read(reg::gt_irq + 8), user_event << 16);
  c.m.write(reg::master_irq, 1u << 31);
  CHECK_EQ(drained(fd), 1u);
  c.m.write(reg::gt_irq + 8, seen);
  CHECK_EQ(c.m.read(reg::gt_irq + 8), 0u);
  close(fd);
}

TEST(vgpu_ring_mask_has_its_bits_where_the_bank_has_them) {
  Machine m;
  m.write(engine_info[bcs0].base + ring::imr, ~(user_event << 16));
  m.device.hw.interrupts.raise(bcs0, context_switch_event);
  CHECK_EQ(m.read(reg::gt_irq + 8), 0u);
  m.device.hw.interrupts.raise(bcs0, user_event);
  CHECK_EQ(m.read(reg::gt_irq + 8), user_event << 16);
}

TEST(vgpu_interrupts_can_be_lost_or_late) {
  Options o = without_threads();
  o.irq_lose = 2;
  o.irq_delay_ns = 2000000;
  Client c(o);
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  c.ask_with(vfio::device_set_irqs, vfio::SetIrqs{20, 0x24, 1, 0, 1}, dup(fd));
  for (int i = 0; i < 4; i++) {
    c.m.device.hw.interrupts.raise(rcs0, user_event);
    c.m.write(reg::gt_irq + 8, user_event);
  }
  pollfd p{fd, POLLIN, 0};
  CHECK_EQ(poll(&p, 1, 2000), 1);
  uint64_t n = 0;
  for (int i = 0; i < 200 && n < 2; i++, usleep(1000)) n += drained(fd);
  CHECK_EQ(n, 2u);
  CHECK_EQ(c.m.device.hw.stats.msi_lost.load(), 2u);
  close(fd);
}

TEST(vgpu_register_behaviours) {
  Machine m;
  m.write(0xa278, 0x00010001);
  CHECK_EQ(m.read(0xd84), 1u);
  m.write(0xa278, 0x00010000);
  CHECK_EQ(m.read(0xd84), 0u);
  m.write(0x45404, 0x80000002);
  CHECK_EQ(m.read(0x45404), 0xc0000003u);
  m.write(0x138124, 0x80000006);
  CHECK_EQ(m.read(0x138124) >> 31, 0u);
  m.write(0x51000, 0);
  CHECK_EQ(m.read(0x51000), 0x50200000u);
  const uint32_t a = m.read(0x2358);
  CHECK(m.read(0x2358) - a < 12000000u);
  m.device.write(0, 0xa009, 0xab, 1);
  CHECK_EQ(m.read(0xa008), 0xab00u);
  CHECK_EQ(m.device.read(0, 0xa009, 1), 0xabu);
  CHECK_EQ(m.device.hw.registers.name(0x2230), "rcs0.RING_ELSP");
  CHECK_EQ(m.device.hw.registers.name(0xc80c), "GEN9_GFX_MOCS[3]");
  CHECK_EQ(m.device.hw.registers.name(0x7ffff0), "0x7ffff0");
  m.device.reset();
  CHECK_EQ(m.read(0xa008), 0u);
}
