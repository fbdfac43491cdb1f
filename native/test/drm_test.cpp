// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>

#include "drm/find.h"
#include "drm/ioctls.h"
#include "test/harness.h"

using namespace i915u;

namespace {

/// Answers what it was told to, and keeps the last struct that it was given.
struct ScriptedDevice : Device {
  std::deque<int> answers;  ///< the last one is repeated
  unsigned long request = 0;
  std::vector<uint8_t> seen;
  void (*fill)(void*) = nullptr;

  int ioctl(unsigned long r, void* arg) override {
    request = r;
    seen.assign(static_cast<uint8_t*>(arg), static_cast<uint8_t*>(arg) + uapi::ioc_size(r));
    const int ret = answers.front();
    if (answers.size() > 1) answers.pop_front();
    if (ret >= 0 && fill) fill(arg);
    return ret;
  }
  template <class T>
  T arg() const {
    T t;
    memcpy(&t, seen.data(), sizeof(t));
    return t;
  }
  int64_t mmap(uint64_t, uint64_t, int, int, uint64_t) override { return -ENODEV; }
  Memory& memory() override { return DirectMemory::instance(); }
  int close() override { return 0; }
  int fd() const override { return -1; }
};

struct Tree {
  std::filesystem::path root;
  Tree() {
    char path[] = "/tmp/i915u-find-XXXXXX";
    if (char* p = ::mkdtemp(path)) root = p;
  }
  ~Tree() { std::filesystem::remove_all(root); }
  void file(const std::string& path, const std::string& text = "") {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  void link(const std::string& path, const std::string& target) {
    std::filesystem::create_directories((root / path).parent_path());
    std::filesystem::create_symlink(target, root / path);
  }
  /// One GPU as sysfs shows it: its card and render node, with one connector.
  void gpu(const std::string& pci, const std::string& driver, int n, const char* enabled) {
    const std::string dev = "sys/devices/" + pci, card = "card" + std::to_string(n),
                      render = "renderD" + std::to_string(128 + n);
    link(dev + "/driver", "../../bus/pci/drivers/" + driver);
    file(dev + "/drm/" + card + "/" + card + "-DP-1/enabled", enabled);
    file(dev + "/drm/" + render + "/dev", "226");
    for (const std::string& node : {card, render}) {
      link("sys/class/drm/" + node + "/device", "../../../devices/" + pci);
      file("dev/dri/" + node);
    }
  }
};

}  // namespace

TEST(drm_call_retries_what_the_policy_says_and_counts_it) {
  ScriptedDevice d;
  d.answers = {-EINTR, -EAGAIN, -EINTR, 0};
  uapi::drm_gem_close arg{};
  CHECK_EQ(d.call(uapi::DRM_IOCTL_GEM_CLOSE, &arg, Retry::always), 0);
  CHECK_EQ(d.retries().eintr.load(), 2u);
  CHECK_EQ(d.retries().eagain.load(), 1u);

  d.answers = {-EINTR, -EAGAIN, 0};
  CHECK_EQ(d.call(uapi::DRM_IOCTL_GEM_CLOSE, &arg, Retry::eintr), -EAGAIN);
  CHECK_EQ(d.retries().eintr.load(), 3u);
  CHECK_EQ(d.retries().eagain.load(), 1u);

  d.answers = {-EINTR, 0};
  CHECK_EQ(d.call(uapi::DRM_IOCTL_GEM_CLOSE, &arg, Retry::none), -EINTR);
  CHECK_EQ(d.retries().eintr.load(), 3u);
}

TEST(drm_call_ends_when_the_device_never_does) {
  ScriptedDevice d;
  d.answers = {-EAGAIN};
  uapi::drm_gem_close arg{};
  CHECK_EQ(d.call(uapi::DRM_IOCTL_GEM_CLOSE, &arg, Retry::always), -EAGAIN);
  CHECK_EQ(d.retries().eagain.load(), static_cast<uint64_t>(Device::retry_limit));
}

TEST(drm_outputs_are_written_on_success_only) {
  ScriptedDevice d;
  d.fill = [](void* p) { static_cast<uapi::drm_i915_gem_userptr*>(p)->handle = 7; };
  d.answers = {-EFAULT};
  uint32_t handle = 99;
  CHECK_EQ(gem_userptr(d, 0x1000, 0x2000, uapi::I915_USERPTR_PROBE, &handle), -EFAULT);
  CHECK_EQ(handle, 99u);
  d.answers = {0};
  CHECK_EQ(gem_userptr(d, 0x1000, 0x2000, uapi::I915_USERPTR_PROBE, &handle), 0);
  CHECK_EQ(handle, 7u);
  CHECK_EQ(d.request, uapi::DRM_IOCTL_I915_GEM_USERPTR);
  const auto arg = d.arg<uapi::drm_i915_gem_userptr>();
  CHECK_EQ(arg.user_ptr, 0x1000u);
  CHECK_EQ(arg.user_size, 0x2000u);
  CHECK_EQ(arg.flags, uapi::I915_USERPTR_PROBE);
  CHECK_EQ(arg.handle, 0u);
}

TEST(drm_wait_hands_back_what_is_left_of_the_timeout) {
  ScriptedDevice d;
  d.answers = {-ETIME};
  int64_t timeout = 500;
  CHECK_EQ(gem_wait(d, 3, &timeout), -ETIME);
  CHECK_EQ(timeout, 500);
  d.answers = {0};
  d.fill = [](void* p) { static_cast<uapi::drm_i915_gem_wait*>(p)->timeout_ns = 20; };
  CHECK_EQ(gem_wait(d, 3, &timeout), 0);
  CHECK_EQ(timeout, 20);
}

TEST(drm_execbuffer2_packs_fences_where_the_flags_say) {
  using namespace uapi;
  ScriptedDevice d;
  d.answers = {0};
  d.fill = [](void* p) { static_cast<drm_i915_gem_execbuffer2*>(p)->rsvd2 |= 11ull << 32; };
  drm_i915_gem_exec_object2 objects[2]{};
  const drm_i915_gem_exec_fence fences[3]{};
  Exec e{.objects = objects,
         .flags = I915_EXEC_FENCE_ARRAY | I915_EXEC_FENCE_IN | I915_EXEC_FENCE_OUT,
         .ctx = 5,
         .fence_in = 9,
         .fences = fences};
  CHECK_EQ(gem_execbuffer2(d, &e), 0);
  CHECK_EQ(d.request, DRM_IOCTL_I915_GEM_EXECBUFFER2_WR);
  CHECK_EQ(e.fence_out, 11);
  auto arg = d.arg<drm_i915_gem_execbuffer2>();
  CHECK_EQ(arg.buffer_count, 2u);
  CHECK_EQ(arg.num_cliprects, 3u);
  CHECK_EQ(arg.cliprects_ptr, reinterpret_cast<uintptr_t>(fences));
  CHECK_EQ(arg.rsvd1, 5u);
  CHECK_EQ(arg.rsvd2, 9u);

  e.flags = 0;
  CHECK_EQ(gem_execbuffer2(d, &e), 0);
  CHECK_EQ(d.request, DRM_IOCTL_I915_GEM_EXECBUFFER2);
  arg = d.arg<drm_i915_gem_execbuffer2>();
  CHECK_EQ(arg.num_cliprects, 0u);
  CHECK_EQ(arg.rsvd2, 0u);
}

TEST(drm_query_asks_for_the_length_first_and_reports_the_items_error) {
  using namespace uapi;
  ScriptedDevice d;
  d.answers = {0};
  d.fill = [](void* p) {
    auto* item = reinterpret_cast<drm_i915_query_item*>(static_cast<drm_i915_query*>(p)->items_ptr);
    if (item->query_id == 99) item->length = -EINVAL;
    if (!item->length) {
      item->length = 4;
    } else if (item->length > 0) {
      memcpy(reinterpret_cast<void*>(item->data_ptr), "abcd", 4);
    }
  };
  std::vector<uint8_t> data;
  CHECK_EQ(i915_query(d, DRM_I915_QUERY_ENGINE_INFO, 0, &data), 0);
  CHECK_EQ(std::string(data.begin(), data.end()), "abcd");
  CHECK_EQ(i915_query(d, 99, 0, &data), -EINVAL);
  CHECK_EQ(data.size(), 4u);
}

TEST(drm_open_node_refuses_what_is_not_a_drm_node_without_opening_it) {
  int err = 0;
  std::string driver = "?";
  CHECK(!open_node("/nowhere/renderD128", &err, &driver));
  CHECK_EQ(err, -ENOENT);
  CHECK(!open_node("/dev/null", &err, &driver));
  CHECK_EQ(err, -ENODEV);
  Tree t;
  const std::string fifo = t.root / "fifo";
  CHECK_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  CHECK(!open_node(fifo.c_str(), &err, &driver));
  CHECK_EQ(err, -ENODEV);
  CHECK_EQ(driver, "");
}

TEST(drm_find_sees_nodes_drivers_and_who_holds_the_card) {
  Tree t;
  t.gpu("0000:00:02.0", "i915", 0, "enabled\n");
  t.gpu("0000:03:00.0", "amdgpu", 1, "disabled\n");
  t.file("dev/dri/by-path");
  t.file("dev/dri/renderDx");
  t.file("proc/77777777/comm", "Xorg\n");
  t.link("proc/77777777/fd/3", "/dev/null");
  t.link("proc/77777777/fd/9", "/dev/dri/card0");
  t.file("proc/meminfo");

  const auto nodes = find_nodes(t.root);
  CHECK_EQ(nodes.size(), 4u);
  CHECK_EQ(nodes[0].path, (t.root / "dev/dri/renderD128").string());
  CHECK_EQ(nodes[0].driver, "i915");
  CHECK_EQ(nodes[0].pci, "0000:00:02.0");
  CHECK_EQ(nodes[0].card, "/dev/dri/card0");
  CHECK(nodes[0].render);
  CHECK_EQ(nodes[0].error, -ENODEV);  // a plain file
  CHECK_EQ(nodes[0].holder, 77777777);
  CHECK_EQ(nodes[0].holder_name, "Xorg");
  CHECK(nodes[0].display_on);
  CHECK(nodes[0].holders_known);

  CHECK_EQ(nodes[1].driver, "amdgpu");
  CHECK_EQ(nodes[1].holder, 0);
  CHECK(!nodes[1].display_on);

  CHECK_EQ(nodes[2].path, (t.root / "dev/dri/card0").string());
  CHECK(!nodes[2].render);
  CHECK_EQ(nodes[2].error, 0);
  CHECK_EQ(nodes[2].holder, 77777777);
  CHECK_EQ(nodes[3].error, -ENODEV);  // not i915
}

TEST(drm_find_says_when_the_holders_cannot_be_known) {
  Tree t;
  t.gpu("0000:00:02.0", "i915", 0, "disabled\n");
  t.file("proc/77777777/comm", "gdm\n");
  std::filesystem::create_directories(t.root / "proc/77777777/fd");
  CHECK_EQ(::chmod((t.root / "proc/77777777/fd").c_str(), 0), 0);
  CHECK_EQ(::chmod(t.root.c_str(), 0755), 0);
  const bool root = ::geteuid() == 0;  // it would read every /proc/PID/fd
  if (root) CHECK_EQ(::seteuid(65534), 0);
  const auto nodes = find_nodes(t.root);
  if (root) CHECK_EQ(::seteuid(0), 0);
  ::chmod((t.root / "proc/77777777/fd").c_str(), 0700);
  CHECK_EQ(nodes.size(), 2u);
  CHECK(!nodes[0].holders_known);
}

TEST(drm_find_survives_a_machine_without_any) {
  CHECK_EQ(find_nodes("/nowhere").size(), 0u);
}
