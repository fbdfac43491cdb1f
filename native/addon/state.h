// SPDX-License-Identifier: MIT
// What one instance of the addon owns. Node loads the addon once for each environment (the main
// thread, each worker_thread): nothing here is shared between two of them.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "drm/device.h"

namespace i915u::addon {

/// Devices by number, as a process has files by descriptor: a JavaScript value can neither forge
/// nor outlive what it names, and a number costs nothing to pass. A number is never used again.
class DeviceTable {
 public:
  size_t add(std::shared_ptr<Device> dev) {
    devices_.push_back(std::move(dev));
    return devices_.size();
  }
  /// The highest number given out. 0 is a device that is closed already.
  size_t last() const { return devices_.size(); }
  /// Null for a number that was never given out or is closed.
  const std::shared_ptr<Device>* find(size_t id) const {
    if (id < 1 || id > devices_.size() || !devices_[id - 1]) return nullptr;
    return &devices_[id - 1];
  }
  void remove(size_t id) { devices_[id - 1].reset(); }
  void close_all() {
    for (auto& dev : devices_)
      if (dev) dev->close();
    devices_.clear();
  }

 private:
  std::vector<std::shared_ptr<Device>> devices_;
};

struct State {
  DeviceTable devices;
  Napi::FunctionReference error_class;

  /// Node frees the instance data when the environment ends, worker or process.
  ~State() { devices.close_all(); }
};

inline State& state(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<State*>(data);
}

}  // namespace i915u::addon
