// SPDX-License-Identifier: MIT
// The process's mappings, changed through the software mm (which is the plain syscall while no
// soft device has anything mapped), and accesses to them that answer EFAULT.
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon/call.h"
#include "mem/quiet.h"
#include "mem/uaccess.h"
#include "soft/mm/address_space.h"

namespace i915u::addon {
namespace {

soft::AddressSpace& mm() {
  return soft::AddressSpace::current();
}

/// A syscall's answer that is an address or -errno.
int64_t address(int64_t ret, uint64_t* at) {
  *at = static_cast<uint64_t>(ret);
  return ret < 0 && ret > -4096 ? ret : 0;
}

napi_value mmap(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  const int prot = c.i32(2), flags = c.i32(3), fd = c.i32(4);
  const int64_t offset = c.i64(5);
  return c.run<uint64_t>(
      [=](uint64_t& at) { return address(mm().mmap(addr, length, prot, flags, fd, offset), &at); });
}

napi_value munmap(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  return c.run([=](None&) { return mm().munmap(addr, length); });
}

napi_value mprotect(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  const int prot = c.i32(2);
  return c.run([=](None&) { return mm().mprotect(addr, length, prot); });
}

napi_value mremap(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1), new_length = c.u64(2), new_addr = c.u64(4);
  const int flags = c.i32(3);
  return c.run<uint64_t>([=](uint64_t& at) {
    return address(mm().mremap(addr, length, new_length, flags, new_addr), &at);
  });
}

napi_value madvise(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  const int advice = c.i32(2);
  return c.run([=](None&) { return mm().madvise(addr, length, advice); });
}

napi_value mlock(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  return c.run([=](None&) { return mm().mlock(addr, length); });
}

napi_value munlock(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  return c.run([=](None&) { return mm().munlock(addr, length); });
}

napi_value mincore(Call& c) {
  const uint64_t addr = c.u64(0);
  const size_t length = c.length(1);
  return c.run<std::vector<uint8_t>>([=](auto& pages) -> int64_t {
    pages.resize((length + 4095) / 4096);
    if (::mincore(reinterpret_cast<void*>(addr), length, pages.data()) < 0) return -errno;
    for (uint8_t& p : pages) p &= 1;  // the other bits are reserved
    return 0;
  });
}

/// `nodes` empty: no move; the answer tells each page's node, or -errno.
napi_value move_pages(Call& c) {
  auto pages = c.array<uint64_t>(0);
  auto nodes = c.array<int32_t>(1);
  const int flags = c.i32(2);
  if (!nodes.empty() && nodes.size() != pages.size()) c.bad(1, "none, or a node for each page");
  return c.run<std::vector<int32_t>>(
      [flags, pages = std::move(pages), nodes = std::move(nodes)](auto& status) {
        status.resize(pages.size());
        return mm().move_pages(pages.size(), pages.data(), nodes.empty() ? nullptr : nodes.data(),
                               status.data(), flags);
      });
}

/// A hint for mmap: see mem/quiet.h.
napi_value quiet_address_call(Call& c) {
  return to_js(c.env(), quiet_address(c.u64(0)));
}

napi_value memfd(Call& c) {
  const std::string name = c.string(0);
  const uint32_t flags = c.u32(1);
  return c.run<int32_t>([=](int32_t& fd) -> int64_t {
    fd = memfd_create(name.c_str(), flags);
    return fd < 0 ? -errno : 0;
  });
}

napi_value ftruncate(Call& c) {
  const int fd = c.i32(0);
  const int64_t length = c.i64(1);
  return c.run([=](None&) { return mm().ftruncate(fd, length); });
}

napi_value fallocate(Call& c) {
  const int fd = c.i32(0), mode = c.i32(1);
  const int64_t offset = c.i64(2), length = c.i64(3);
  return c.run([=](None&) { return mm().fallocate(fd, mode, offset, length); });
}

napi_value close_fd(Call& c) {
  const int fd = c.i32(0);
  return c.run([=](None&) -> int64_t { return ::close(fd) < 0 ? -errno : 0; });
}

/// Is there something to read, or an error, within `timeoutMs` (negative: for ever)?
napi_value poll_fd(Call& c) {
  const int fd = c.i32(0), timeout = c.i32(1);
  return c.run<bool>([=](bool& ready) -> int64_t {
    pollfd p{fd, POLLIN, 0};
    const int n = poll(&p, 1, timeout);
    ready = n > 0;
    return n < 0 ? -errno : p.revents & POLLNVAL ? -EBADF : 0;
  });
}

// ---- accesses

napi_value read(Call& c) {
  const uint64_t addr = c.u64(0);
  const size_t length = c.length(1);
  return c.run<Data>([=](Data& data) {
    data.allocate(length);
    return copy_from_user(data.bytes.get(), addr, length);
  });
}

/// Into a buffer of the caller's: nothing is allocated.
napi_value read_into(Call& c) {
  const uint64_t addr = c.u64(0);
  const std::span<uint8_t> to = c.bytes(1);
  const int err = copy_from_user(to.data(), addr, to.size());
  if (err < 0) c.fail(err);
  return to_js(c.env(), None{});
}

napi_value write(Call& c) {
  const uint64_t addr = c.u64(0);
  auto bytes = c.array<uint8_t>(1);
  return c.run([addr, bytes = std::move(bytes)](None&) {
    return copy_to_user(addr, bytes.data(), bytes.size());
  });
}

/// Fills with a dword, from an address aligned to 4 bytes; what is left over gets its first bytes.
napi_value fill(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  const uint32_t value = c.u32(2);
  return c.run([=](None&) {
    uint32_t block[1024];
    std::fill(std::begin(block), std::end(block), value);
    for (uint64_t done = 0; done < length; done += sizeof(block))
      if (copy_to_user(addr + done, block, std::min<uint64_t>(length - done, sizeof(block))))
        return -EFAULT;
    return 0;
  });
}

/// The offset of the first dword that is not `value`, or -1n; `length` is in bytes.
napi_value find_other(Call& c) {
  const uint64_t addr = c.u64(0), length = c.u64(1);
  const uint32_t value = c.u32(2);
  return c.run<int64_t>([=](int64_t& at) {
    uint32_t block[1024];
    for (uint64_t done = 0; done < length; done += sizeof(block)) {
      const uint64_t n = std::min<uint64_t>(length - done, sizeof(block));
      if (copy_from_user(block, addr + done, n)) return -EFAULT;
      for (uint64_t i = 0; i < n / 4; i++)
        if (block[i] != value) {
          at = static_cast<int64_t>(done + 4 * i);
          return 0;
        }
    }
    at = -1;
    return 0;
  });
}

napi_value load32(Call& c) {
  const uint64_t addr = c.u64(0);
  if (addr % 4) c.bad(0, "an address aligned to 4 bytes");
  return c.run<uint32_t>([=](uint32_t& value) { return load_user_u32(addr, &value); });
}
napi_value store32(Call& c) {
  const uint64_t addr = c.u64(0);
  if (addr % 4) c.bad(0, "an address aligned to 4 bytes");
  const uint32_t value = c.u32(1);
  return c.run([=](None&) { return store_user_u32(addr, value); });
}
napi_value load64(Call& c) {
  const uint64_t addr = c.u64(0);
  if (addr % 8) c.bad(0, "an address aligned to 8 bytes");
  return c.run<uint64_t>([=](uint64_t& value) { return load_user_u64(addr, &value); });
}
napi_value store64(Call& c) {
  const uint64_t addr = c.u64(0);
  if (addr % 8) c.bad(0, "an address aligned to 8 bytes");
  const uint64_t value = c.u64(1);
  return c.run([=](None&) { return store_user_u64(addr, value); });
}

napi_value pins(Call& c) {
  return object_js(c.env(), std::pair{"acquired", mm().pins_acquired()},
                   std::pair{"released", mm().pins_released()},
                   std::pair{"invalidates", mm().notifiers().invalidates()});
}

constexpr Function functions[] = {
    {"mmap", "mmap", {"address", "length", "prot", "flags", "fd", "offset"}, mmap},
    {"munmap", "munmap", {"address", "length"}, munmap},
    {"mprotect", "mprotect", {"address", "length", "prot"}, mprotect},
    {"mremap", "mremap", {"address", "length", "newLength", "flags", "newAddress"}, mremap},
    {"madvise", "madvise", {"address", "length", "advice"}, madvise},
    {"mlock", "mlock", {"address", "length"}, mlock},
    {"munlock", "munlock", {"address", "length"}, munlock},
    {"mincore", "mincore", {"address", "length"}, mincore},
    {"movePages", "move_pages", {"pages", "nodes", "flags"}, move_pages},
    {"quietAddress", "quietAddress", {"length"}, quiet_address_call},
    {"memfdCreate", "memfd_create", {"name", "flags"}, memfd},
    {"ftruncate", "ftruncate", {"fd", "length"}, ftruncate},
    {"fallocate", "fallocate", {"fd", "mode", "offset", "length"}, fallocate},
    {"closeFd", "close", {"fd"}, close_fd},
    {"pollFd", "poll", {"fd", "timeoutMs"}, poll_fd},
    {"read", "read memory", {"address", "length"}, read},
    {"readInto", "read memory", {"address", "bytes"}, read_into, true},
    {"write", "write memory", {"address", "bytes"}, write},
    {"fill", "write memory", {"address", "length", "value"}, fill},
    {"findOther", "read memory", {"address", "length", "value"}, find_other},
    {"load32", "read memory", {"address"}, load32},
    {"store32", "write memory", {"address", "value"}, store32},
    {"load64", "read memory", {"address"}, load64},
    {"store64", "write memory", {"address", "value"}, store64},
    {"pins", "pins", {}, pins, true},
};

}  // namespace

std::span<const Function> memory_functions() {
  return functions;
}

}  // namespace i915u::addon
