// SPDX-License-Identifier: MIT
// How a native function is made: its arguments are converted, its work is done, its result is
// converted or its errno thrown. The work never touches JavaScript, so that each function exists
// in three ways from one definition:
//   f(...)        in the calling thread
//   async.f(...)  in the thread pool; a promise. For what may block: a munmap under a busy batch
//   child.f(...)  in a forked child, whose errno is the result: what another mm is answered
#pragma once

#include <napi.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "addon/state.h"
#include "drm/device.h"

namespace i915u::addon {

class Call;

/// One native function.
struct Function {
  static constexpr size_t max_args = 12;
  const char* name;            ///< in JavaScript
  const char* syscall;         ///< what an error names
  const char* args[max_args];  ///< for messages and for an error's args; the unused are null
  napi_value (*body)(Call&);
  bool plain = false;  ///< it does not run(): there is no async or child form of it
};

enum class Mode { sync, async, child };

/// How a forked child ended: `error` is what the work returned.
struct ChildEnd {
  int error = 0;  ///< 0 or a positive errno
  int signal = 0;
  bool timed_out = false;  ///< it was killed after child_timeout_ms
};
constexpr int child_timeout_ms = 20000;

/// Waits for the child and reaps it.
ChildEnd wait_child(pid_t pid);

/// Bytes that are yet to be written: what a refused call does not fill is never touched.
struct Data {
  std::unique_ptr<uint8_t[]> bytes;
  size_t size = 0;
  void allocate(size_t n) { bytes.reset(new uint8_t[size = n]); }
};

// --- results. A status alone is `None`; numbers of 64 bits are bigints.
struct None {};
napi_value to_js(napi_env, None);
napi_value to_js(napi_env, uint32_t);
napi_value to_js(napi_env, int32_t);
napi_value to_js(napi_env, uint64_t);
napi_value to_js(napi_env, int64_t);
napi_value to_js(napi_env, bool);
napi_value to_js(napi_env, const std::string&);
napi_value to_js(napi_env, const std::vector<uint8_t>&);  ///< a Buffer, copied
napi_value to_js(napi_env, const Data&);
napi_value to_js(napi_env, const std::vector<uint64_t>&);  ///< a BigUint64Array, copied
napi_value to_js(napi_env, const std::vector<int32_t>&);   ///< an Array
napi_value to_js(napi_env, const ChildEnd&);

template <class... Fields>
napi_value object_js(napi_env env, std::pair<const char*, Fields>... fields) {
  napi_value object;
  napi_create_object(env, &object);
  (napi_set_named_property(env, object, fields.first, to_js(env, fields.second)), ...);
  return object;
}

/// One call of a Function. The conversions throw a TypeError that names the argument and says what
/// was expected.
class Call {
 public:
  static constexpr uint64_t max_copy = uint64_t{1} << 30;

  Call(napi_env env, const Function& fn, Mode mode, std::span<const napi_value> argv)
      : env_(env), fn_(fn), mode_(mode), argv_(argv) {}

  napi_env env() const { return env_; }

  Device& device(size_t i);  ///< EBADF when it is closed
  uint64_t u64(size_t i);    ///< a bigint, or a safe integer
  int64_t i64(size_t i);
  uint32_t u32(size_t i);
  int32_t i32(size_t i);
  bool boolean(size_t i);
  std::string string(size_t i);
  size_t length(size_t i);  ///< of a copy that is made for it: at most max_copy bytes
  /// A Buffer, typed array or DataView, seen in place: valid until JavaScript runs again.
  std::span<uint8_t> bytes(size_t i);
  /// The same, copied, as elements of T.
  template <class T>
  std::vector<T> array(size_t i) {
    const std::span<uint8_t> from = bytes(i);
    if (from.size() % sizeof(T)) bad(i, "a length in whole elements");
    std::vector<T> to(from.size() / sizeof(T));
    std::copy(from.begin(), from.end(), reinterpret_cast<uint8_t*>(to.data()));
    return to;
  }
  bool given(size_t i) const;  ///< not undefined

  [[noreturn]] void bad(size_t i, const std::string& expected) const;
  [[noreturn]] void fail(int error);  ///< throws the error class; `error` is -errno

  /// Does `int64_t work(T&)` (>= 0, or -errno) in the call's mode and returns the T it filled in.
  /// What the work captures it owns, but for the device.
  template <class T = None, class Work>
  napi_value run(Work work) {
    if (mode_ == Mode::sync) {
      T result{};
      const int64_t ret = work(result);
      if (ret < 0) fail(static_cast<int>(ret));
      return to_js(env_, result);
    }
    if (mode_ == Mode::child)
      return run_child([&] {
        T result{};
        return work(result);
      });
    return run_async<T>(std::move(work));
  }

 private:
  template <class T, class Work>
  class Worker;
  template <class T, class Work>
  napi_value run_async(Work work);
  template <class Work>
  napi_value run_child(Work work) {
    const pid_t pid = fork_child();
    if (pid == 0) {
      const int64_t ret = work();
      _exit(ret < 0 ? static_cast<int>(-ret) : 0);  // an errno fits: there are 133
    }
    return to_js(env_, wait_child(pid));
  }
  pid_t fork_child();
  Napi::Value error(int err, Napi::Object args) const;
  Napi::Object args_object() const;

  napi_env env_;
  const Function& fn_;
  Mode mode_;
  std::span<const napi_value> argv_;
  std::shared_ptr<Device> keep_;  ///< async only: the device lives as long as the work
};

template <class T, class Work>
class Call::Worker : public Napi::AsyncWorker {
 public:
  Worker(Call call, Work work)
      : Napi::AsyncWorker(call.env_, call.fn_.name),
        call_(std::move(call)),
        work_(std::move(work)),
        promise_(Napi::Promise::Deferred::New(call_.env_)),
        args_(Napi::Persistent(call_.args_object())) {
    call_.argv_ = {};
  }
  napi_value promise() { return promise_.Promise(); }

  void Execute() override {
    try {
      ret_ = work_(result_);
    } catch (const std::bad_alloc&) {
      ret_ = -ENOMEM;
    }
  }
  void OnOK() override {
    if (ret_ < 0)
      promise_.Reject(call_.error(static_cast<int>(ret_), args_.Value()));
    else if (const napi_value value = to_js(call_.env_, result_))
      promise_.Resolve(value);
    else
      promise_.Resolve(Env().Undefined());
  }

 private:
  Call call_;
  Work work_;
  T result_{};
  int64_t ret_ = 0;
  Napi::Promise::Deferred promise_;
  Napi::ObjectReference args_;
};

template <class T, class Work>
napi_value Call::run_async(Work work) {
  auto* worker = new Worker<T, Work>(*this, std::move(work));
  worker->Queue();
  return worker->promise();
}

/// Each file's functions.
std::span<const Function> device_functions();
std::span<const Function> gem_functions();
std::span<const Function> context_functions();
std::span<const Function> exec_functions();
std::span<const Function> syncobj_functions();
std::span<const Function> memory_functions();
std::span<const Function> fork_functions();
std::span<const Function> userfaultfd_functions();
std::span<const Function> emit_functions();

/// Stress runs: functions with arguments of their own kind.
void stress_exports(Napi::Env, Napi::Object exports);

Napi::Object constants(Napi::Env);
Napi::Object structs(Napi::Env);
Napi::Array soft_faults(Napi::Env);
Napi::Array soft_kernels(Napi::Env);
Napi::Array soft_strategies(Napi::Env);
void stress_exports(Napi::Env, Napi::Object exports);

}  // namespace i915u::addon
