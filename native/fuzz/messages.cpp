// SPDX-License-Identifier: MIT
// What a client may send: the input is the socket's stream, received in two parts of which each
// brings a descriptor of real memory. Afterwards the engines run what was submitted.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "vgpu/device.h"
#include "vgpu/link/framer.h"
#include "vgpu/link/session.h"

using namespace i915u::vgpu;

namespace {

constexpr uint64_t memory_bytes = 64 << 10;

struct Discard final : Session::Sink {
  void send(std::span<const uint8_t>) override {}
};

const Options& options() {
  static const Options o = [] {
    Options out;
    out.threads = false;
    out.stale_tlb = true;
    return out;
  }();
  return o;
}

void receive(Framer& framer, Session& session, const uint8_t* data, size_t size, int memory) {
  Framer::Message message;
  Descriptors fds;
  while (size && !framer.broken()) {
    const auto space = framer.space();
    const size_t n = std::min(size, space.size());
    memcpy(space.data(), data, n);
    const int fd = dup(memory);
    framer.received(n, {&fd, 1});
    data += n;
    size -= n;
    while (framer.next(&message, &fds)) session.handle(message, fds);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Device device(options());
  static const int memory = [] {
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    return ftruncate(fd, memory_bytes) ? -1 : fd;
  }();
  if (size < 2) return 0;
  const size_t first = std::min<size_t>(data[0] | data[1] << 8, size - 2);
  {
    Discard sink;
    Session session(device, sink);
    Framer framer;
    receive(framer, session, data + 2, first, memory);
    receive(framer, session, data + 2 + first, size - 2 - first, memory);
  }
  for (int e = 0; e < num_engines; e++)
    for (int i = 0; i < 4; i++)
      if (device.engine(e).slice(64) != Engine::Next::again) break;
  // Not Device::reset(), which takes milliseconds: registers may keep what earlier inputs wrote.
  device.write(0, 0x941c, 1, 4);
  device.set_msi(-1);
  device.unmap_all();
  return 0;
}
