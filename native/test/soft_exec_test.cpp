// SPDX-License-Identifier: MIT
// Execbuf, contexts, address spaces and engines of the software i915, asked through its ioctls.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "drm/uapi.h"
#include "gpu/emit.h"
#include "mem/quiet.h"
#include "soft/device.h"
#include "soft/mm/address_space.h"
#include "sync/clock.h"
#include "test/harness.h"

namespace {

using namespace i915u;
using namespace i915u::uapi;

constexpr uint64_t page = 4096;
constexpr uint64_t ms = 1000000;

uint64_t ptr(const void* p) {
  return reinterpret_cast<uint64_t>(p);
}

// A page of the process, made through the library.
struct Mapping {
  explicit Mapping(uint64_t n = page, int prot = PROT_READ | PROT_WRITE)
      : len(n),
        addr(static_cast<uint64_t>(soft::AddressSpace::current().mmap(
            quiet_address(n), n, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~Mapping() { soft::AddressSpace::current().munmap(addr, len); }
  volatile uint32_t* dw() const { return reinterpret_cast<volatile uint32_t*>(addr); }
  const uint64_t len, addr;
};

struct Dev {
  explicit Dev(soft::SoftOptions o = {}) {
    int err = 0;
    soft = soft::SoftDevice::open(o, &err);
    CHECK(soft);
  }
  explicit Dev(std::unique_ptr<soft::SoftDevice> d) : soft(std::move(d)) {}

  template <class T>
  int call(unsigned long request, T& arg) {
    return soft->ioctl(request, &arg);
  }
  uint32_t create(uint64_t size = page) {
    drm_i915_gem_create c{};
    c.size = size;
    CHECK_EQ(call(DRM_IOCTL_I915_GEM_CREATE, c), 0);
    return c.handle;
  }
  uint32_t userptr(const Mapping& m, uint32_t flags = 0) {
    drm_i915_gem_userptr u{};
    u.user_ptr = m.addr;
    u.user_size = m.len;
    u.flags = flags;
    CHECK_EQ(call(DRM_IOCTL_I915_GEM_USERPTR, u), 0);
    return u.handle;
  }
  void write(uint32_t handle, const std::vector<uint32_t>& dw, uint64_t off = 0) {
    drm_i915_gem_pwrite w{};
    w.handle = handle;
    w.offset = off;
    w.size = dw.size() * 4;
    w.data_ptr = ptr(dw.data());
    CHECK_EQ(call(DRM_IOCTL_I915_GEM_PWRITE, w), 0);
  }
  uint32_t read(uint32_t handle, uint64_t off = 0) {
    uint32_t v = 0;
    drm_i915_gem_pread r{};
    r.handle = handle;
    r.offset = off;
    r.size = 4;
    r.data_ptr = ptr(&v);
    CHECK_EQ(call(DRM_IOCTL_I915_GEM_PREAD, r), 0);
    return v;
  }
  // A mapping of a GEM object, for batches that the CPU changes while they run.
  volatile uint32_t* map(uint32_t handle, uint64_t size = page) {
    drm_i915_gem_mmap_offset m{};
    m.handle = handle;
    m.flags = I915_MMAP_OFFSET_WB;
    CHECK_EQ(call(DRM_IOCTL_I915_GEM_MMAP_OFFSET, m), 0);
    const int64_t a = soft->mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, m.offset);
    CHECK(a > 0);
    return reinterpret_cast<volatile uint32_t*>(a);
  }
  int wait(uint32_t handle, int64_t timeout = -1) {
    drm_i915_gem_wait w{};
    w.bo_handle = handle;
    w.timeout_ns = timeout;
    return call(DRM_IOCTL_I915_GEM_WAIT, w);
  }
  uint32_t busy(uint32_t handle) {
    drm_i915_gem_busy b{};
    b.handle = handle;
    CHECK_EQ(call(DRM_IOCTL_I915_GEM_BUSY, b), 0);
    return b.busy;
  }
  int close(uint32_t handle) {
    drm_gem_close c{};
    c.handle = handle;
    return call(DRM_IOCTL_GEM_CLOSE, c);
  }
  uint32_t context(uint64_t extensions = 0, uint32_t flags = 0) {
    drm_i915_gem_context_create_ext c{};
    c.flags = flags | (extensions ? I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS : 0);
    c.extensions = extensions;
    const int err = call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, c);
    CHECK_EQ(err, 0);
    return c.ctx_id;
  }
  int destroy_context(uint32_t id) {
    drm_i915_gem_context_destroy d{};
    d.ctx_id = id;
    return call(DRM_IOCTL_I915_GEM_CONTEXT_DESTROY, d);
  }
  int setparam(uint32_t ctx, uint64_t param, uint64_t value, uint32_t size = 0) {
    drm_i915_gem_context_param p{ctx, size, param, value};
    return call(DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM, p);
  }
  int getparam(uint32_t ctx, uint64_t param, uint64_t* value) {
    drm_i915_gem_context_param p{ctx, 0, param, 0};
    const int err = call(DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM, p);
    *value = p.value;
    return err;
  }

  std::unique_ptr<soft::SoftDevice> soft;
};

// An execbuf in the making.
struct Exec {
  Exec& object(uint32_t handle, uint64_t flags = 0, uint64_t offset = 0) {
    drm_i915_gem_exec_object2 o{};
    o.handle = handle;
    o.flags = flags;
    o.offset = offset;
    objects.push_back(o);
    return *this;
  }
  Exec& pinned(uint32_t handle, uint64_t offset, uint64_t flags = 0) {
    return object(handle, flags | EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS, offset);
  }
  int run(Dev& d) {
    args.buffers_ptr = ptr(objects.data());
    args.buffer_count = static_cast<uint32_t>(objects.size());
    return d.call(DRM_IOCTL_I915_GEM_EXECBUFFER2_WR, args);
  }
  std::vector<drm_i915_gem_exec_object2> objects;
  drm_i915_gem_execbuffer2 args{};
};

constexpr uint64_t target_at = 1ull << 32, batch_at = 2ull << 32;

std::vector<uint32_t> store(uint64_t addr, uint32_t value) {
  gpu::Emit e(gpu::gen9);
  e.store_dword(addr, value);
  e.batch_end();
  e.align(2);
  return e.dwords();
}

// A batch that loops until the CPU puts gpu::spinner_end into its first dword; `polite` ones can be
// preempted.
std::vector<uint32_t> spinner(uint64_t at, bool polite) {
  gpu::Emit e(gpu::gen9);
  e.noop();
  if (polite) e.arb_check();
  e.batch_start(at);
  e.batch_end();
  e.align(2);
  return e.dwords();
}

struct Spin {
  Spin(Dev& dev, bool polite, uint64_t at = batch_at) : d(dev), handle(d.create()), offset(at) {
    d.write(handle, spinner(at, polite));
    cpu = d.map(handle);
  }
  ~Spin() {
    end();
    munmap(const_cast<uint32_t*>(cpu), page);
  }
  Exec exec(uint64_t flags = 0, uint32_t ctx = 0) {
    Exec e;
    e.pinned(handle, offset);
    e.args.flags = flags | I915_EXEC_NO_RELOC;
    e.args.rsvd1 = ctx;
    return e;
  }
  void end() { *cpu = gpu::spinner_end; }
  Dev& d;
  const uint32_t handle;
  const uint64_t offset;
  volatile uint32_t* cpu;
};

int store_and_wait(Dev& d, uint32_t ctx = 0, uint64_t flags = 0) {
  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at + 8, 0x1234));
  Exec e;
  e.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
  e.args.rsvd1 = ctx;
  e.args.flags = flags;
  const int err = e.run(d);
  if (!err) {
    CHECK_EQ(d.wait(target), 0);
    CHECK_EQ(d.read(target, 8), 0x1234u);
  }
  d.close(target);
  d.close(batch);
  return err;
}

bool eventually(bool (*what)(Dev&), Dev& d, uint64_t ns = 2000 * ms) {
  for (const uint64_t until = sync::now_ns() + ns; sync::now_ns() < until; sync::sleep_ns(ms))
    if (what(d)) return true;
  return what(d);
}

TEST(exec_stores_on_every_engine) {
  Dev d;
  for (uint64_t ring :
       {I915_EXEC_DEFAULT, I915_EXEC_RENDER, I915_EXEC_BSD, I915_EXEC_BLT, I915_EXEC_VEBOX})
    CHECK_EQ(store_and_wait(d, 0, ring), 0);
  CHECK_EQ(store_and_wait(d, 0, I915_EXEC_BSD | I915_EXEC_BSD_RING2), 0);
  CHECK_EQ(store_and_wait(d, 0, I915_EXEC_RENDER | I915_EXEC_BSD_RING1), -EINVAL);
  CHECK_EQ(store_and_wait(d, 0, 5), -EINVAL);
  CHECK_EQ(store_and_wait(d, 77), -ENOENT);
  CHECK_EQ(d.soft->stats().batches, 6u);
}

TEST(exec_into_userptr_pages) {
  Dev d;
  Mapping m;
  const uint32_t u = d.userptr(m), batch = d.create();
  d.write(batch, store(target_at + 16, 0xabcd));
  Exec e;
  e.pinned(u, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(u), 0);
  CHECK_EQ(m.dw()[4], 0xabcdu);

  // New pages under the same address, and the next submission finds them.
  soft::AddressSpace::current().mmap(m.addr, m.len, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK_EQ(m.dw()[4], 0u);
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(u), 0);
  CHECK_EQ(m.dw()[4], 0xabcdu);

  soft::AddressSpace::current().munmap(m.addr, m.len);
  CHECK_EQ(e.run(d), -EFAULT);
}

TEST(exec_drops_writes_to_read_only_userptr) {
  Dev d;
  Mapping m;
  m.dw()[4] = 7;
  const uint32_t u = d.userptr(m, I915_USERPTR_READ_ONLY), batch = d.create();
  d.write(batch, store(target_at + 16, 0xabcd));
  Exec e;
  e.pinned(u, target_at).pinned(batch, batch_at);
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(batch), 0);
  CHECK_EQ(m.dw()[4], 7u);
  CHECK_EQ(d.soft->stats().gpu_faults, 1u);
}

TEST(exec_batch_inside_userptr_pages) {
  Dev d;
  Mapping m;
  const auto dw = store(target_at, 99);
  memcpy(reinterpret_cast<void*>(m.addr), dw.data(), dw.size() * 4);
  const uint32_t u = d.userptr(m), target = d.create();
  Exec e;
  e.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(u, batch_at);
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(target), 0);
  CHECK_EQ(d.read(target), 99u);
}

TEST(exec_checks_arguments_in_the_drivers_order) {
  Dev d;
  const uint32_t batch = d.create();
  d.write(batch, store(target_at, 1));
  const auto with = [&](auto change) {
    Exec e;
    e.object(batch);
    change(e);
    e.args.buffers_ptr = e.args.buffers_ptr ? e.args.buffers_ptr : ptr(e.objects.data());
    if (!e.args.buffer_count) e.args.buffer_count = static_cast<uint32_t>(e.objects.size());
    if (e.args.buffer_count == 0xdead) e.args.buffer_count = 0;
    return d.call(DRM_IOCTL_I915_GEM_EXECBUFFER2, e.args);
  };
  CHECK_EQ(with([](Exec&) {}), 0);
  CHECK_EQ(with([](Exec& e) { e.args.buffer_count = 0xdead; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.buffer_count = 0x80000000; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.buffer_count = 0x7fffffff; }), -ENOMEM);
  CHECK_EQ(with([](Exec& e) { e.args.buffers_ptr = 0x1000; }), -EFAULT);
  CHECK_EQ(with([](Exec& e) { e.args.flags = 1u << 22; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.flags = I915_EXEC_CONSTANTS_ABSOLUTE; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.flags = I915_EXEC_RESOURCE_STREAMER; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.flags = I915_EXEC_SECURE; }), -EPERM);
  CHECK_EQ(with([](Exec& e) { e.args.flags = I915_EXEC_GEN7_SOL_RESET; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.flags = I915_EXEC_IS_PINNED; }), 0);
  CHECK_EQ(with([](Exec& e) { e.args.num_cliprects = 1; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.DR1 = 1; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.DR4 = 0xffffffff; }), 0);
  CHECK_EQ(with([](Exec& e) { e.args.batch_len = 4; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.batch_start_offset = 8; }), 0);
  CHECK_EQ(with([](Exec& e) { e.args.batch_start_offset = 4096; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.batch_len = 8192; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.args.flags = I915_EXEC_FENCE_IN | I915_EXEC_FENCE_SUBMIT; }),
           -EINVAL);
  CHECK_EQ(with([](Exec& e) {
             e.args.flags = I915_EXEC_FENCE_IN;
             e.args.rsvd2 = 0;  // standard input
           }),
           -EINVAL);
  // The list is read before the context is looked up, the context before the handles.
  CHECK_EQ(with([](Exec& e) { e.args.buffers_ptr = 0x1000, e.args.rsvd1 = 9; }), -EFAULT);
  CHECK_EQ(with([](Exec& e) { e.objects[0].handle = 999, e.args.rsvd1 = 9, e.args.flags = 63; }),
           -ENOENT);
  CHECK_EQ(with([](Exec& e) { e.objects[0].handle = 999, e.args.flags = 63; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.objects[0].handle = 999; }), -ENOENT);
  CHECK_EQ(with([](Exec& e) { e.objects[0].flags = 1u << 8; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.objects[0].flags = EXEC_OBJECT_NEEDS_GTT; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.objects[0].flags = EXEC_OBJECT_WRITE; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.objects[0].flags = EXEC_OBJECT_CAPTURE; }), 0);
  CHECK_EQ(with([](Exec& e) { e.objects[0].alignment = 3 * 4096; }), -EINVAL);
  CHECK_EQ(with([](Exec& e) { e.objects[0].alignment = 1 << 20; }), 0);
  CHECK_EQ(with([](Exec& e) {
             e.objects[0].flags = EXEC_OBJECT_PAD_TO_SIZE;
             e.objects[0].pad_to_size = 5;
           }),
           -EINVAL);
}

TEST(exec_takes_one_object_twice) {
  // Old kernels refused it; 6.1 does not look.
  Dev d;
  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at, 5));
  Exec e;
  e.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(target, target_at).pinned(batch, batch_at);
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(target), 0);
  CHECK_EQ(d.read(target), 5u);
}

TEST(exec_softpin_places_and_errors) {
  Dev d;
  const uint32_t a = d.create(2 * page), b = d.create(), batch = d.create();
  d.write(batch, store(target_at, 1));
  const auto at = [&](uint64_t off_a, uint64_t off_b, uint64_t flags_a = 0) {
    Exec e;
    e.pinned(a, off_a, flags_a).pinned(b, off_b).pinned(batch, batch_at);
    return e.run(d);
  };
  CHECK_EQ(at(target_at, target_at + 2 * page), 0);
  CHECK_EQ(at(target_at + 4 * page, target_at), 0);    // moves
  CHECK_EQ(at(target_at, target_at + page), -ENOSPC);  // overlap
  CHECK_EQ(at(target_at, target_at), -ENOSPC);
  CHECK_EQ(at(target_at + 8, target_at + 2 * page), -EINVAL);  // not a page
  CHECK_EQ(at(1ull << 47, target_at), -EINVAL);                // not canonical
  CHECK_EQ(at(0xffff800000000000, target_at), 0);
  CHECK_EQ(at(0xfffffffffffff000, target_at), -EINVAL);  // its second page is past the end
  CHECK_EQ(at(0, page * 2), 0);
  Exec low;
  low.object(b, EXEC_OBJECT_PINNED, target_at).pinned(batch, batch_at);
  CHECK_EQ(low.run(d), -EINVAL);  // above 4 GiB without 48B_ADDRESS
  Exec aligned;
  aligned.pinned(b, target_at + page).pinned(batch, batch_at);
  aligned.objects[0].alignment = 1 << 16;
  CHECK_EQ(aligned.run(d), -EINVAL);
}

TEST(exec_pins_over_what_is_idle_or_in_the_way) {
  Dev d;
  const uint32_t a = d.create(), b = d.create(), batch = d.create();
  d.write(batch, store(target_at, 1));
  Exec first;
  first.pinned(a, target_at).pinned(batch, batch_at);
  CHECK_EQ(first.run(d), 0);
  // b evicts a, which was idle or becomes so.
  Exec second;
  second.pinned(b, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
  CHECK_EQ(second.run(d), 0);
  CHECK_EQ(d.wait(b), 0);
  CHECK_EQ(d.read(b), 1u);
  // A movable object makes way for a pinned one of the same execbuf.
  Exec third;
  third.object(b, EXEC_OBJECT_SUPPORTS_48B_ADDRESS, target_at);
  third.pinned(a, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
  CHECK_EQ(third.run(d), 0);
  CHECK_EQ(d.wait(a), 0);
  CHECK_EQ(d.read(a), 1u);
  CHECK(third.objects[0].offset != target_at);
}

TEST(exec_writes_offsets_and_relocations_back) {
  Dev d;
  const uint32_t target = d.create(), batch = d.create();
  for (bool lut : {false, true}) {
    gpu::Emit e(gpu::gen9);
    const int where = e.store_dword(0, 0x77);
    e.batch_end();
    e.align(2);
    d.write(batch, e.dwords());
    Exec x;
    x.object(target, 0, 0xdeadb000).object(batch, 0, 0xdeadb000);
    drm_i915_gem_relocation_entry r{};
    r.target_handle = lut ? 0 : target;
    r.delta = 12;
    r.offset = static_cast<uint64_t>(where) * 4;
    r.presumed_offset = ~0ull;
    r.read_domains = r.write_domain = I915_GEM_DOMAIN_RENDER;
    x.objects[1].relocs_ptr = ptr(&r);
    x.objects[1].relocation_count = 1;
    x.args.flags = lut ? I915_EXEC_HANDLE_LUT : 0;
    CHECK_EQ(x.run(d), 0);
    CHECK_EQ(d.wait(target), 0);
    CHECK_EQ(d.read(target, 12), 0x77u);
    CHECK_EQ(x.objects[0].offset, r.presumed_offset);
    CHECK(x.objects[0].offset != x.objects[1].offset);

    const auto bad = [&](auto change) {
      Exec y = x;
      drm_i915_gem_relocation_entry q = r;
      q.presumed_offset = ~0ull;
      y.objects[1].relocs_ptr = ptr(&q);
      change(y, q);
      return y.run(d);
    };
    CHECK_EQ(bad([](Exec&, auto&) {}), 0);
    CHECK_EQ(bad([](Exec&, auto& q) { q.target_handle = 1234; }), -ENOENT);
    CHECK_EQ(bad([](Exec&, auto& q) { q.offset = page; }), -EINVAL);
    CHECK_EQ(bad([](Exec&, auto& q) { q.offset = page - 4; }), -EINVAL);
    CHECK_EQ(bad([](Exec&, auto& q) { q.offset = 2; }), -EINVAL);
    CHECK_EQ(bad([](Exec&, auto& q) { q.write_domain = 6; }), -EINVAL);
    CHECK_EQ(bad([](Exec&, auto& q) { q.read_domains = I915_GEM_DOMAIN_CPU; }), -EINVAL);
    CHECK_EQ(bad([](Exec& y, auto&) { y.objects[1].relocs_ptr = 0x1000; }), -EFAULT);
    CHECK_EQ(bad([](Exec& y, auto&) { y.objects[1].relocation_count = UINT32_MAX; }), -EFAULT);
  }
}

TEST(exec_fence_out_polls_and_orders) {
  Dev d;
  Spin s(d, true);
  Exec e = s.exec(I915_EXEC_FENCE_OUT);
  CHECK_EQ(e.run(d), 0);
  const int fd = static_cast<int>(e.args.rsvd2 >> 32);
  pollfd p{fd, POLLIN, 0};
  CHECK_EQ(poll(&p, 1, 20), 0);

  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at, 3));
  Exec after;
  after.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at + page);
  after.args.flags = I915_EXEC_FENCE_IN | I915_EXEC_BLT;
  after.args.rsvd2 = static_cast<uint64_t>(fd);
  CHECK_EQ(after.run(d), 0);
  CHECK_EQ(d.wait(target, 20 * ms), -ETIME);
  // Class + 1 of the writer below, the mask of readers above.
  CHECK_EQ(d.busy(target), 0x20002u);
  CHECK_EQ(d.busy(batch), 0x20000u);
  CHECK_EQ(d.busy(s.handle), 0x10000u);

  Exec with;
  const uint32_t other = d.create();
  with.pinned(other, target_at + page, EXEC_OBJECT_WRITE).pinned(batch, batch_at + page);
  with.args.flags = I915_EXEC_FENCE_SUBMIT | I915_EXEC_VEBOX;
  with.args.rsvd2 = static_cast<uint64_t>(fd);
  CHECK_EQ(with.run(d), 0);
  CHECK_EQ(d.wait(other), 0);  // the spinner runs, and that is enough

  s.end();
  CHECK_EQ(d.wait(target), 0);
  CHECK_EQ(poll(&p, 1, 1000), 1);
  CHECK(p.revents & POLLIN);
  CHECK_EQ(d.read(target), 3u);
  close(fd);
  Exec closed = after;
  CHECK_EQ(closed.run(d), -EINVAL);
}

TEST(exec_fence_array_of_syncobjs) {
  Dev d;
  drm_syncobj_create c{};
  CHECK_EQ(d.call(DRM_IOCTL_SYNCOBJ_CREATE, c), 0);
  Spin s(d, true);
  drm_i915_gem_exec_fence f{c.handle, I915_EXEC_FENCE_WAIT};
  const auto with = [&](Exec e, uint32_t flags, uint32_t handle) {
    f = {handle, flags};
    e.args.flags |= I915_EXEC_FENCE_ARRAY;
    e.args.cliprects_ptr = ptr(&f);
    e.args.num_cliprects = 1;
    return e.run(d);
  };
  CHECK_EQ(with(s.exec(), I915_EXEC_FENCE_WAIT, c.handle), -EINVAL);  // no fence yet
  CHECK_EQ(with(s.exec(), I915_EXEC_FENCE_SIGNAL, 1234), -ENOENT);
  CHECK_EQ(with(s.exec(), 4, c.handle), -EINVAL);
  CHECK_EQ(with(s.exec(), I915_EXEC_FENCE_SIGNAL, c.handle), 0);

  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at, 3));
  Exec after;
  after.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at + page);
  after.args.flags = I915_EXEC_BLT;
  CHECK_EQ(with(after, I915_EXEC_FENCE_WAIT, c.handle), 0);
  CHECK_EQ(d.wait(target, 20 * ms), -ETIME);
  s.end();
  CHECK_EQ(d.wait(target), 0);
}

TEST(exec_timeline_fences) {
  Dev d;
  drm_syncobj_create c{};
  CHECK_EQ(d.call(DRM_IOCTL_SYNCOBJ_CREATE, c), 0);
  Spin s(d, true);
  drm_i915_gem_exec_fence f{};
  uint64_t point = 0;
  drm_i915_gem_execbuffer_ext_timeline_fences ext{};
  ext.base.name = DRM_I915_GEM_EXECBUFFER_EXT_TIMELINE_FENCES;
  ext.fence_count = 1;
  ext.handles_ptr = ptr(&f);
  ext.values_ptr = ptr(&point);
  const auto with = [&](Exec e, uint32_t flags, uint64_t at) {
    f = {c.handle, flags};
    point = at;
    e.args.flags |= I915_EXEC_USE_EXTENSIONS;
    e.args.cliprects_ptr = ptr(&ext);
    return e.run(d);
  };
  CHECK_EQ(with(s.exec(), I915_EXEC_FENCE_WAIT, 1), -EINVAL);
  CHECK_EQ(with(s.exec(), I915_EXEC_FENCE_SIGNAL, 5), 0);
  CHECK_EQ(with(s.exec(), I915_EXEC_FENCE_WAIT, 6), -EINVAL);
  CHECK_EQ(with(s.exec(), I915_EXEC_FENCE_WAIT | I915_EXEC_FENCE_SIGNAL, 9), -EINVAL);
  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at, 3));
  Exec after;
  after.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at + page);
  after.args.flags = I915_EXEC_BLT;
  CHECK_EQ(with(after, I915_EXEC_FENCE_WAIT, 4), 0);
  CHECK_EQ(d.wait(target, 20 * ms), -ETIME);
  s.end();
  CHECK_EQ(d.wait(target), 0);
}

TEST(exec_waits_for_writers_and_async_does_not) {
  Dev d;
  Spin s(d, true);
  const uint32_t shared = d.create(), batch = d.create();
  Exec first = s.exec();
  first.objects.insert(first.objects.begin(), drm_i915_gem_exec_object2{});
  first.objects[0].handle = shared;
  first.objects[0].flags =
      EXEC_OBJECT_WRITE | EXEC_OBJECT_PINNED | EXEC_OBJECT_SUPPORTS_48B_ADDRESS;
  first.objects[0].offset = target_at;
  CHECK_EQ(first.run(d), 0);
  d.write(batch, store(target_at, 8));
  Exec next;
  next.pinned(shared, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at + page);
  next.args.flags = I915_EXEC_BLT;
  Exec async = next;
  async.objects[0].flags |= EXEC_OBJECT_ASYNC;
  CHECK_EQ(async.run(d), 0);
  CHECK_EQ(d.wait(batch), 0);
  CHECK_EQ(next.run(d), 0);
  CHECK_EQ(d.wait(batch, 20 * ms), -ETIME);
  s.end();
  CHECK_EQ(d.wait(batch), 0);
}

TEST(engine_timeslices_and_preempts) {
  Dev d;
  const uint32_t ctx = d.context();
  Spin s(d, true);
  CHECK_EQ(s.exec().run(d), 0);
  CHECK_EQ(store_and_wait(d, ctx), 0);  // beside a spinner of another context
  const uint32_t high = d.context();
  if (d.setparam(high, I915_CONTEXT_PARAM_PRIORITY, 1000) == 0)
    CHECK_EQ(store_and_wait(d, high), 0);
  s.end();
  CHECK_EQ(d.wait(s.handle), 0);
  CHECK_EQ(d.soft->stats().resets, 0u);
}

TEST(engine_runs_semaphores_beside_others) {
  Dev d;
  const uint32_t ctx = d.context(), batch = d.create(), flag = d.create();
  gpu::Emit e(gpu::gen9);
  e.semaphore_wait(target_at, gpu::Compare::eq, 1);
  e.batch_end();
  e.align(2);
  d.write(batch, e.dwords());
  volatile uint32_t* cpu = d.map(flag);
  Exec x;
  x.pinned(flag, target_at).pinned(batch, batch_at);
  CHECK_EQ(x.run(d), 0);
  CHECK_EQ(store_and_wait(d, ctx), 0);
  CHECK_EQ(d.wait(batch, 5 * ms), -ETIME);
  *cpu = 1;
  CHECK_EQ(d.wait(batch), 0);
  munmap(const_cast<uint32_t*>(cpu), page);
}

TEST(engine_keeps_a_preemptible_spinner_and_resets_a_stubborn_one) {
  soft::SoftOptions o;
  o.hang_ns = 50 * ms;
  Dev d(o);
  Spin polite(d, true);
  CHECK_EQ(polite.exec().run(d), 0);
  CHECK_EQ(d.wait(polite.handle, 300 * ms), -ETIME);
  CHECK_EQ(d.soft->stats().resets, 0u);
  polite.end();
  CHECK_EQ(d.wait(polite.handle), 0);

  const uint32_t ctx = d.context();
  Spin hog(d, false);
  for (int hang = 1; hang <= 3; hang++) {
    CHECK_EQ(hog.exec(0, ctx).run(d), 0);
    CHECK_EQ(d.wait(hog.handle), 0);
    drm_i915_reset_stats st{};
    st.ctx_id = ctx;
    CHECK_EQ(d.call(DRM_IOCTL_I915_GET_RESET_STATS, st), 0);
    CHECK_EQ(st.batch_active, static_cast<uint32_t>(hang));
    CHECK_EQ(store_and_wait(d), 0);
  }
  // Three in a row: banned, on that engine.
  CHECK_EQ(hog.exec(0, ctx).run(d), -EIO);
  CHECK_EQ(store_and_wait(d, ctx, I915_EXEC_BLT), 0);
  CHECK_EQ(d.soft->stats().resets, 3u);

  const uint32_t once = d.context();
  CHECK_EQ(d.setparam(once, I915_CONTEXT_PARAM_RECOVERABLE, 0), 0);
  CHECK_EQ(hog.exec(0, once).run(d), 0);
  CHECK_EQ(d.wait(hog.handle), 0);
  CHECK_EQ(hog.exec(0, once).run(d), -EIO);
}

TEST(engine_hangs_on_garbage) {
  soft::SoftOptions o;
  o.hang_ns = 20 * ms;
  Dev d(o);
  const uint32_t batch = d.create(), ctx = d.context();
  d.write(batch, {0xffffffff, 0xffffffff});
  Exec e;
  e.pinned(batch, batch_at);
  e.args.rsvd1 = ctx;
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(batch), 0);
  CHECK_EQ(d.soft->stats().resets, 1u);
  CHECK_EQ(store_and_wait(d), 0);
}

TEST(context_parameters) {
  Dev d;
  const uint32_t ctx = d.context();
  CHECK_EQ(ctx, 1u);
  uint64_t v;
  CHECK_EQ(d.getparam(0, I915_CONTEXT_PARAM_GTT_SIZE, &v), 0);
  CHECK_EQ(v, 1ull << 48);
  for (uint64_t p : {I915_CONTEXT_PARAM_BANNABLE, I915_CONTEXT_PARAM_RECOVERABLE,
                     I915_CONTEXT_PARAM_PERSISTENCE}) {
    CHECK_EQ(d.getparam(ctx, p, &v), 0);
    CHECK_EQ(v, 1u);
    CHECK_EQ(d.setparam(ctx, p, 1, 8), -EINVAL);
  }
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_NO_ERROR_CAPTURE, 1), 0);
  CHECK_EQ(d.getparam(ctx, I915_CONTEXT_PARAM_NO_ERROR_CAPTURE, &v), 0);
  CHECK_EQ(v, 1u);
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_PRIORITY, static_cast<uint64_t>(-1023)), 0);
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_PRIORITY, static_cast<uint64_t>(-1024)), -EINVAL);
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_PRIORITY, 1024), -EINVAL);
  CHECK_EQ(d.getparam(ctx, I915_CONTEXT_PARAM_PRIORITY, &v), 0);
  CHECK_EQ(v, static_cast<uint64_t>(-1023));
  for (uint64_t p : {I915_CONTEXT_PARAM_BAN_PERIOD, I915_CONTEXT_PARAM_NO_ZEROMAP,
                     I915_CONTEXT_PARAM_RINGSIZE, uint64_t{999}}) {
    CHECK_EQ(d.getparam(ctx, p, &v), -EINVAL);
    CHECK_EQ(d.setparam(ctx, p, 0), -EINVAL);
  }
  CHECK_EQ(d.setparam(99, I915_CONTEXT_PARAM_BANNABLE, 1), -ENOENT);
  CHECK_EQ(d.destroy_context(0), -ENOENT);
  CHECK_EQ(d.destroy_context(ctx), 0);
  CHECK_EQ(d.destroy_context(ctx), -ENOENT);
  CHECK_EQ(store_and_wait(d, ctx), -ENOENT);
}

TEST(context_engine_maps) {
  Dev d;
  struct {
    i915_context_param_engines head;
    i915_engine_class_instance ci[3];
  } map{{0}, {{I915_ENGINE_CLASS_COPY, 0}, {0xffff, 0xffff}, {I915_ENGINE_CLASS_RENDER, 0}}};
  uint32_t ctx = d.context();
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), 9), -EINVAL);
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, 0x1000, sizeof(map)), -EFAULT);
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), sizeof(map)), 0);
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), sizeof(map)), -EINVAL);
  CHECK_EQ(store_and_wait(d, ctx, 0), 0);
  CHECK_EQ(store_and_wait(d, ctx, 1), -EINVAL);
  CHECK_EQ(store_and_wait(d, ctx, 2), 0);
  CHECK_EQ(store_and_wait(d, ctx, 3), -EINVAL);
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), sizeof(map)), -EINVAL);

  ctx = d.context();
  map.ci[2] = {I915_ENGINE_CLASS_VIDEO, 1};
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), sizeof(map)), -ENOENT);
  map.ci[2] = {I915_ENGINE_CLASS_VIDEO, 0};

  struct [[gnu::packed]] {
    i915_context_engines_load_balance head;
    i915_engine_class_instance ci[2];
  } balance{};
  balance.head.base.name = I915_CONTEXT_ENGINES_EXT_LOAD_BALANCE;
  map.head.extensions = ptr(&balance);
  balance.head.num_siblings = 1;
  balance.ci[0] = {I915_ENGINE_CLASS_VIDEO_ENHANCE, 0};
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), sizeof(map)), -EEXIST);
  balance.head.engine_index = 3;
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), sizeof(map)), -EINVAL);
  balance.head.engine_index = 1;
  CHECK_EQ(d.setparam(ctx, I915_CONTEXT_PARAM_ENGINES, ptr(&map), sizeof(map)), 0);
  CHECK_EQ(store_and_wait(d, ctx, 1), 0);
}

TEST(context_creation_with_parameters) {
  Dev d;
  drm_i915_gem_context_create_ext_setparam p{};
  p.base.name = I915_CONTEXT_CREATE_EXT_SETPARAM;
  p.param.param = I915_CONTEXT_PARAM_RECOVERABLE;
  const uint32_t ctx = d.context(ptr(&p), I915_CONTEXT_CREATE_FLAGS_SINGLE_TIMELINE);
  uint64_t v;
  CHECK_EQ(d.getparam(ctx, I915_CONTEXT_PARAM_RECOVERABLE, &v), 0);
  CHECK_EQ(v, 0u);
  drm_i915_gem_context_create_ext c{};
  c.flags = 4;
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, c), -EINVAL);
  c.flags = I915_CONTEXT_CREATE_FLAGS_USE_EXTENSIONS;
  c.extensions = 0x1000;
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, c), -EFAULT);
  p.base.name = I915_CONTEXT_CREATE_EXT_CLONE;
  c.extensions = ptr(&p);
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, c), -EINVAL);
  p.base.name = I915_CONTEXT_CREATE_EXT_SETPARAM;
  p.base.next_extension = ptr(&p);
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, c), -E2BIG);
  p.base.next_extension = 0;
  p.param.ctx_id = 1;
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, c), -EINVAL);

  // On one timeline the engines take turns.
  Spin s(d, true);
  CHECK_EQ(s.exec(0, ctx).run(d), 0);
  const uint32_t batch = d.create();
  d.write(batch, store(target_at, 1));
  Exec e;
  e.pinned(batch, batch_at + page);
  e.args.rsvd1 = ctx;
  e.args.flags = I915_EXEC_BLT;
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(batch, 20 * ms), -ETIME);
  s.end();
  CHECK_EQ(d.wait(batch), 0);
}

TEST(vm_is_shared_between_contexts) {
  Dev d;
  drm_i915_gem_vm_control vm{};
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_VM_CREATE, vm), 0);
  const uint32_t a = d.context(), b = d.context();
  CHECK_EQ(d.setparam(a, I915_CONTEXT_PARAM_VM, vm.vm_id), 0);
  CHECK_EQ(d.setparam(b, I915_CONTEXT_PARAM_VM, vm.vm_id), 0);
  CHECK_EQ(d.setparam(a, I915_CONTEXT_PARAM_VM, 99), -ENOENT);
  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at, 21));
  // Bound by one context, written by the other, which does not list it.
  Exec bind;
  bind.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
  bind.args.rsvd1 = a;
  CHECK_EQ(bind.run(d), 0);
  CHECK_EQ(d.wait(target), 0);
  d.write(target, {0});
  Exec e;
  e.pinned(batch, batch_at);
  e.args.rsvd1 = b;
  CHECK_EQ(e.run(d), 0);
  CHECK_EQ(d.wait(batch), 0);
  CHECK_EQ(d.read(target), 21u);
  CHECK_EQ(d.soft->stats().gpu_faults, 0u);
  CHECK_EQ(d.setparam(a, I915_CONTEXT_PARAM_VM, vm.vm_id), -EINVAL);  // in use
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_VM_DESTROY, vm), 0);
  CHECK_EQ(d.call(DRM_IOCTL_I915_GEM_VM_DESTROY, vm), -ENOENT);
  uint64_t id;
  CHECK_EQ(d.getparam(b, I915_CONTEXT_PARAM_VM, &id), 0);
  CHECK_EQ(id, 1u);
}

TEST(closing_a_handle_lets_the_batch_finish) {
  Dev d;
  Mapping m;
  Spin s(d, true);
  const uint32_t u = d.userptr(m), batch = d.create();
  CHECK_EQ(s.exec().run(d), 0);
  d.write(batch, store(target_at, 6));
  Exec e;
  e.pinned(u, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at + page);
  CHECK_EQ(e.run(d), 0);  // behind the spinner
  CHECK_EQ(d.close(u), 0);
  s.end();
  CHECK_EQ(d.wait(batch), 0);
  CHECK_EQ(m.dw()[0], 6u);
}

TEST(closing_contexts_cancels_unless_persistent) {
  Dev d;
  const uint32_t keeps = d.context(), stops = d.context();
  CHECK_EQ(d.setparam(stops, I915_CONTEXT_PARAM_PERSISTENCE, 0), 0);
  Spin a(d, true), b(d, true);
  CHECK_EQ(a.exec(0, keeps).run(d), 0);
  CHECK_EQ(b.exec(0, stops).run(d), 0);
  CHECK_EQ(d.wait(a.handle, 10 * ms), -ETIME);
  CHECK_EQ(d.destroy_context(keeps), 0);
  CHECK_EQ(d.destroy_context(stops), 0);
  CHECK_EQ(d.wait(b.handle), 0);
  CHECK_EQ(d.wait(a.handle, 10 * ms), -ETIME);
  a.end();
  CHECK_EQ(d.wait(a.handle), 0);
}

TEST(closing_the_last_file_ends_what_never_ends) {
  for (bool polite : {true, false}) {
    Dev d;
    const uint32_t batch = d.create();
    d.write(batch, spinner(batch_at, polite));
    Exec e;
    e.pinned(batch, batch_at);
    CHECK_EQ(e.run(d), 0);
    const uint64_t begin = sync::now_ns();
    d.soft.reset();
    CHECK(sync::now_ns() - begin < 1000 * ms);
  }
}

TEST(nothing_is_left_when_it_is_idle) {
  Dev d;
  Dev second(d.soft->reopen());
  Mapping m;
  const uint64_t pins = d.soft->stats().pins_acquired - d.soft->stats().pins_released;
  for (int i = 0; i < 100; i++) {
    const uint32_t ctx = second.context(), u = second.userptr(m), batch = second.create();
    second.write(batch, store(target_at, 6));
    Exec e;
    e.pinned(u, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
    e.args.rsvd1 = ctx;
    CHECK_EQ(e.run(second), 0);
    CHECK_EQ(second.close(u), 0);
    CHECK_EQ(second.close(batch), 0);
    CHECK_EQ(second.destroy_context(ctx), 0);
  }
  second.soft->close();
  CHECK(eventually(
      [](Dev& dev) {
        const auto s = dev.soft->stats();
        return s.objects == 0 && s.contexts == 1 && s.vms == 1 && s.bindings == 0 && s.fences == 0;
      },
      d));
  CHECK_EQ(d.soft->stats().pins_acquired - d.soft->stats().pins_released, pins);
}

TEST(a_full_ring_makes_the_submitter_wait) {
  Dev d;
  Spin s(d, true);
  CHECK_EQ(s.exec().run(d), 0);
  const uint32_t batch = d.create();
  d.write(batch, store(target_at, 1));
  std::atomic<int> done{0};
  std::thread t([&] {
    Exec e;
    e.pinned(batch, batch_at + page);
    for (int i = 0; i < 400; i++) {
      if (e.run(d)) return;
      done++;
    }
  });
  const auto full = sync::now_ns() + 300 * ms;
  while (sync::now_ns() < full) sync::sleep_ns(ms);
  CHECK(done > 200);
  CHECK(done < 300);
  s.end();
  t.join();
  CHECK_EQ(done.load(), 400);
}

TEST(threads_race_execbuf_against_unmap_and_close) {
  soft::SoftOptions o;
  Dev d(o);
  Mapping m(16 * page);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> good{0}, unexpected{0};
  std::vector<std::thread> threads;
  for (unsigned n = 0; n < 3; n++) {
    threads.emplace_back([&, n] {
      const uint32_t ctx = n ? d.context() : 0, batch = d.create();
      d.write(batch, store(target_at + n * 64, n + 1));
      while (!stop) {
        const uint32_t u = d.userptr(m);
        for (int i = 0; i < 4; i++) {
          Exec e;
          e.pinned(u, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at + n * page);
          e.args.rsvd1 = ctx;
          e.args.flags = n;
          const int err = e.run(d);
          if (!err)
            good++;
          else if (err != -EAGAIN && err != -EFAULT)
            unexpected++;
          if (i & 1) d.wait(u);
        }
        d.close(u);
      }
    });
  }
  auto& mm = soft::AddressSpace::current();
  for (const uint64_t until = sync::now_ns() + 500 * ms; sync::now_ns() < until;) {
    mm.mprotect(m.addr, m.len, PROT_READ);
    mm.mprotect(m.addr, m.len, PROT_READ | PROT_WRITE);
    mm.munmap(m.addr + page, page);
    mm.mmap(m.addr + page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
            -1, 0);
    mm.madvise(m.addr, m.len, MADV_DONTNEED);
  }
  stop = true;
  for (auto& t : threads) t.join();
  CHECK_EQ(unexpected.load(), 0u);
  CHECK(good.load() > 0);
}

TEST(fault_early_signal_shows_a_late_store) {
  soft::SoftOptions o;
  o.faults = soft::fault_early_signal;
  Dev d(o);
  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at, 11));
  volatile uint32_t* cpu = d.map(target);
  Exec e;
  e.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
  bool late = false;
  for (int i = 0; i < 20 && !late; i++) {
    *cpu = 0;
    CHECK_EQ(e.run(d), 0);
    CHECK_EQ(d.wait(target), 0);
    late = *cpu == 0;
    // It comes, when it may.
    for (int wait = 0; wait < 10000 && *cpu != 11; wait++) sync::sleep_ns(ms);
    CHECK_EQ(*cpu, 11u);
  }
  CHECK(late);
  munmap(const_cast<uint32_t*>(cpu), page);
}

TEST(fault_lost_wakeup_leaves_a_sleeper) {
  soft::SoftOptions o;
  o.faults = soft::fault_lost_wakeup;
  o.batch_delay_ns = 5 * ms;
  Dev d(o);
  const uint32_t target = d.create(), batch = d.create();
  d.write(batch, store(target_at, 11));
  Exec e;
  e.pinned(target, target_at, EXEC_OBJECT_WRITE).pinned(batch, batch_at);
  CHECK_EQ(e.run(d), 0);
  const uint64_t begin = sync::now_ns();
  CHECK_EQ(d.wait(target, 200 * ms), 0);
  CHECK(sync::now_ns() - begin > 150 * ms);
}

}  // namespace
