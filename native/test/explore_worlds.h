// SPDX-License-Identifier: MIT
// Worlds that are written down in one place, for the explorer's tests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lab/explore/explorer.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/rwsem.h"
#include "sync/wait_queue.h"

namespace i915u::test {

class Toy : public explore::World {
 public:
  using Array = std::vector<std::unique_ptr<sync::Atomic<int>>>;

  explicit Toy(const std::function<void(Toy&)>& build) : build_(build) {}
  void setup() override { build_(*this); }
  void check() override {
    if (at_end) at_end();
  }

  void thread(std::function<void()> body) { thread("t" + std::to_string(++count_), body); }
  void thread(std::string name, std::function<void()> body) {
    spawn(std::move(name), std::move(body));
  }
  /// Kept until the world is destroyed.
  template <class T, class... Args>
  T& make(Args&&... args) {
    auto p = std::make_shared<T>(std::forward<Args>(args)...);
    T& t = *p;
    kept_.push_back(std::move(p));
    return t;
  }
  sync::Atomic<int>& var(const char* name, int v = 0) { return make<sync::Atomic<int>>(name, v); }
  Array& array(const char* name, int n) {
    Array& a = make<Array>();
    for (int i = 0; i < n; i++) a.push_back(std::make_unique<sync::Atomic<int>>(name));
    return a;
  }
  std::function<void()> at_end;

 private:
  const std::function<void(Toy&)>& build_;
  std::vector<std::shared_ptr<void>> kept_;
  int count_ = 0;
};

inline explore::Make toy(std::function<void(Toy&)> build) {
  return [build = std::move(build)] { return std::make_unique<Toy>(build); };
}

}  // namespace i915u::test
