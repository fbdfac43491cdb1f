// SPDX-License-Identifier: MIT
// Guest memory and translations of the emulated GPU.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "test/harness.h"
#include "test/vgpu_machine.h"
#include "vgpu/pci/config_space.h"

using namespace i915u;
using namespace i915u::vgpu;
using vgpu::test::Machine;

TEST(vgpu_ppgtt_walk_knows_pages_of_each_size) {
  Machine m;
  const uint64_t pml4 = m.page();
  Translation t;
  CHECK(!walk_ppgtt(m.device.hw.memory, pml4, 0x1000, &t));
  m.map(pml4, 0x1000, 0x123456000 | 3);
  CHECK(walk_ppgtt(m.device.hw.memory, pml4, 0x1abc, &t));
  CHECK_EQ(t.gpa, 0x123456000u);
  CHECK(t.writable);

  // 64 KiB: the table's first entry of 16 holds for all.
  constexpr uint64_t of_64k = 0x40000000;
  m.map(pml4, of_64k, 0x5670000 | 3);
  const uint64_t pde = m.map(pml4, 0x40000000, 0, 21);
  const uint64_t table = m.page();
  m.put64(table + 16 * 8, 0x5670000 | 3);
  m.put64(pde, table | 3 | 1 << 11);
  CHECK(!walk_ppgtt(m.device.hw.memory, pml4, of_64k, &t));
  CHECK(walk_ppgtt(m.device.hw.memory, pml4, of_64k + 0x1f000, &t));
  CHECK_EQ(t.gpa, 0x567f000u);

  m.map(pml4, 0x80000000, 0x7e00000 | 3 | 1 << 7, 21);
  CHECK(walk_ppgtt(m.device.hw.memory, pml4, 0x80000000 + 0x123456, &t));
  CHECK_EQ(t.gpa, 0x7e00000u + 0x123000);

  m.map(pml4, 3ull << 30, (1ull << 30) | 3 | 1 << 7, 30);
  CHECK(walk_ppgtt(m.device.hw.memory, pml4, (3ull << 30) + 0x7654321, &t));
  CHECK_EQ(t.gpa, (1ull << 30) + 0x7654000);
}

TEST(vgpu_ppgtt_page_is_writable_where_each_level_is) {
  Machine m;
  const uint64_t pml4 = m.page();
  m.map(pml4, 0x1000, 0x200000 | 3);
  Translation t;
  for (const unsigned shift : {12u, 21u, 30u, 39u}) {
    uint64_t table = pml4;
    uint64_t slot = 0;
    for (unsigned s = 39;; s -= 9) {
      slot = table + (uint64_t{0x1000} >> s & 511) * 8;
      if (s == shift) break;
      table = m.get64(slot) & ~4095ull;
    }
    m.put64(slot, m.get64(slot) & ~2ull);
    CHECK(walk_ppgtt(m.device.hw.memory, pml4, 0x1000, &t));
    CHECK(!t.writable);
    m.put64(slot, m.get64(slot) | 2);
  }
}

TEST(vgpu_ppgtt_tables_beyond_memory_are_faults) {
  Machine m;
  Translation t;
  CHECK(!walk_ppgtt(m.device.hw.memory, 0x7ffffff000, 0, &t));
  const uint64_t pml4 = m.page();
  m.put64(pml4, 0x7ffffff000 | 3);
  CHECK(!walk_ppgtt(m.device.hw.memory, pml4, 0, &t));
}

TEST(vgpu_ggtt_entries_can_be_written_in_halves) {
  Machine m;
  m.device.write(0, register_bytes + 8, 0xabcd0001, 4);
  m.device.write(0, register_bytes + 12, 0x12, 4);
  CHECK_EQ(m.device.read(0, register_bytes + 8, 8), 0x12abcd0001u);
  CHECK_EQ(m.device.read(0, register_bytes + 12, 4), 0x12u);
}

TEST(vgpu_aperture_is_the_ggtt) {
  Machine m;
  const uint64_t gpa = m.page();
  const uint32_t addr = m.to_ggtt(gpa);
  m.device.write(2, addr + 0x10, 0x1122334455667788, 8);
  CHECK_EQ(m.get64(gpa + 0x10), 0x1122334455667788u);
  CHECK_EQ(m.device.read(2, addr + 0x12, 2), 0x5566u);
  CHECK_EQ(m.device.read(2, 0, 8), 0u);
  m.device.write(2, bar2_bytes - 1, 0, 8);
}

TEST(vgpu_dma_map_refuses_what_it_cannot_reach) {
  const int fd = memfd_create("vgpu-test", MFD_CLOEXEC);
  CHECK_EQ(ftruncate(fd, 16384), 0);
  DmaMap map;
  CHECK_EQ(map.map(fd, 0, 0x10000, 8192, true), 0);
  CHECK_EQ(map.map(fd, 0, 0x11000, 4096, true), -EEXIST);
  CHECK_EQ(map.map(fd, 12288, 0x20000, 8192, true), -EINVAL);  // beyond the end
  CHECK_EQ(map.map(fd, 0x8000000000000000, 0x20000, 4096, true), -EINVAL);
  CHECK_EQ(map.map(fd, 0, 0x20000, 0, true), -EINVAL);
  CHECK_EQ(map.map(fd, 0, 0x20800, 4096, true), -EINVAL);
  CHECK_EQ(map.map(fd, 0, UINT64_MAX & ~4095ull, 8192, true), -EINVAL);
  CHECK_EQ(map.map(fd, 8192, 0x20000, 4096, false), 0);

  CHECK(map.at(0x10000, 8192, true));
  CHECK(!map.at(0x10000, 8193, true));
  CHECK(!map.at(0x11fff, 2, false));
  CHECK(!map.at(0xffff, 1, false));
  CHECK(map.at(0x20000, 4, false));
  CHECK(!map.at(0x20000, 4, true));

  CHECK_EQ(map.unmap(0x10000, 4096), -EINVAL);
  CHECK_EQ(map.unmap(0x10000, 8192), 0);
  CHECK_EQ(map.unmap(0x10000, 8192), -ENOENT);
  CHECK(!map.at(0x10000, 1, false));
  close(fd);
  int p[2];
  CHECK_EQ(pipe(p), 0);
  CHECK_EQ(map.map(p[0], 0, 0x30000, 4096, false), -EINVAL);
  close(p[0]);
  close(p[1]);
}

TEST(vgpu_dma_mappings_are_bounded) {
  DmaMap map;
  char memory[1];
  for (size_t i = 0; i < DmaMap::max_mappings; i++)
    CHECK_EQ(map.map_memory(memory, i * 8192, 4096, false), 0);
  CHECK_EQ(map.map_memory(memory, 1ull << 40, 4096, false), -ENOSPC);
}

TEST(vgpu_bars_are_sized_as_pci_says) {
  ConfigSpace c;
  const auto bar = [&](uint32_t offset) {
    for (uint32_t i = 0; i < 4; i++) c.write(offset + i, 0xff);
    uint32_t v = 0;
    for (uint32_t i = 0; i < 4; i++) v |= uint32_t{c.read(offset + i)} << 8 * i;
    return v;
  };
  CHECK_EQ(bar(0x10), 0xff000000u);
  CHECK_EQ(bar(0x18), 0xf0000008u);
  CHECK_EQ(bar(0x20), 0xffffffc1u);
  CHECK_EQ(bar(0x1c), 0u);
  c.write(0, 0);
  CHECK_EQ(c.read(0), 0x86);
  CHECK_EQ(c.read(300), 0);
}
