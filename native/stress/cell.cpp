// SPDX-License-Identifier: MIT
#include "stress/cell.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "mem/uaccess.h"

namespace i915u::stress {

uint32_t make_tag(Tag t) {
  return (t.cell + 1) << (seq_bits + 1) | t.lane << seq_bits | (t.seq & seq_mask);
}

Tag parse_tag(uint32_t v) {
  return {(v >> (seq_bits + 1)) - 1, v >> seq_bits & 1, v & seq_mask};
}

bool seq_after(uint32_t a, uint32_t b) {
  const uint32_t d = (a - b) & seq_mask;
  return d != 0 && d < (1u << (seq_bits - 1));
}

Cell::Cell(uint32_t id_, uint64_t addr_, uint64_t len_, Backing backing_, Shape shape_)
    : id(id_),
      addr(addr_),
      len(len_),
      pages(static_cast<uint32_t>(len_ / page_size)),
      backing(backing_),
      shape(shape_),
      page(new Page[len_ / page_size]) {}

Cell::~Cell() {
  if (fd >= 0) ::close(fd);
}

int Cell::map(Memory& mem) {
  if (backing == Backing::memfd) {
    fd = memfd_create("i915-userptr-cell", MFD_CLOEXEC);
    if (fd < 0) return -errno;
    if (const int err = mem.ftruncate(fd, static_cast<int64_t>(len))) return err;
  }
  begin_access();
  // The first time nothing may stand there: another's mapping would be destroyed.
  const int flags =
      (backing == Backing::memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS) | MAP_FIXED_NOREPLACE;
  const int64_t at = mem.mmap(addr, len, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (at >= 0 && static_cast<uint64_t>(at) != addr) {  // a kernel before 4.17
    mem.munmap(static_cast<uint64_t>(at), len);
    return -EEXIST;
  }
  set_access(at < 0 ? Access::none : Access::rw, 0, pages);
  return at < 0 ? static_cast<int>(at) : 0;
}

void Cell::unmap(Memory& mem) {
  begin_access();
  mem.munmap(addr, len);
  set_access(Access::none, 0, pages);
}

int64_t Cell::map_pages(Memory& mem, uint32_t first, uint32_t n, int prot) {
  const int flags =
      (backing == Backing::memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS) | MAP_FIXED;
  return mem.mmap(page_addr(first), n * page_size, prot, flags, fd,
                  backing == Backing::memfd ? static_cast<int64_t>(first * page_size) : 0);
}

// Three different multiples of 4 below 4096: a third of the page each, moved about by the page.
uint32_t Cell::lane_offset(uint32_t p, uint32_t l) const {
  return l * 1364 + (p * 68 + id * 4) % 1364;
}
uint32_t Cell::cpu_offset(uint32_t p) const {
  return lane_offset(p, 2);
}

int Cell::cpu_write(uint32_t p, uint32_t value) {
  const uint32_t was = page[p].cpu.exchange(cpu_changing);
  const int err = store_user_u32(cpu_addr(p), value);
  page[p].cpu.store(err ? was : value);
  return err;
}

void Cell::begin_access() {
  access_seq.fetch_add(1);
}

void Cell::set_access(Access a, uint32_t first, uint32_t n) {
  access.store(a);
  access_first.store(first);
  access_n.store(n);
  access_seq.fetch_add(1);
}

Cell::Destroy::Destroy(Cell& c, uint32_t first, uint32_t n) : c_(c), first_(first), n_(n) {
  for (uint32_t p = first; p < first + n; p++) c.page[p].gen.fetch_add(1);
  for (uint32_t l = 0; l < lanes; l++) returned_[l] = c.lane[l].returned.load();
}

void Cell::Destroy::done() {
  for (uint32_t p = first_; p < first_ + n_; p++) {
    for (uint32_t l = 0; l < lanes; l++) c_.page[p].floor[l].store(returned_[l]);
    c_.page[p].cpu.store(0);
    c_.page[p].gen.fetch_add(1);
  }
}

void Cell::Destroy::undone() {
  for (uint32_t p = first_; p < first_ + n_; p++) c_.page[p].gen.fetch_add(1);
}

}  // namespace i915u::stress
