// SPDX-License-Identifier: MIT
#include "addon/call.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include "soft/mm/address_space.h"

namespace i915u::addon {

// ---- arguments

void Call::bad(size_t i, const std::string& expected) const {
  throw Napi::TypeError::New(env_,
                             std::string(fn_.name) + ": " + fn_.args[i] + ": expected " + expected);
}

Device& Call::device(size_t i) {
  double number = -1;
  if (i < argv_.size()) napi_get_value_double(env_, argv_[i], &number);
  const DeviceTable& devices = state(env_).devices;
  if (!(number >= 0 && number <= static_cast<double>(devices.last())) ||
      number != std::floor(number))
    bad(i, "a device");
  const std::shared_ptr<Device>* dev = devices.find(static_cast<size_t>(number));
  if (!dev) fail(-EBADF);
  if (mode_ == Mode::async) keep_ = *dev;
  return **dev;
}

uint64_t Call::u64(size_t i) {
  constexpr const char* expected = "a bigint or an integer, 0 to 2^64 - 1";
  if (i >= argv_.size()) bad(i, expected);
  double number;
  if (napi_get_value_double(env_, argv_[i], &number) == napi_ok) {
    if (!(number >= 0 && number <= 9007199254740991.0) || number != std::floor(number))
      bad(i, expected);
    return static_cast<uint64_t>(number);
  }
  uint64_t value;
  bool lossless;
  if (napi_get_value_bigint_uint64(env_, argv_[i], &value, &lossless) != napi_ok || !lossless)
    bad(i, expected);
  return value;
}

int64_t Call::i64(size_t i) {
  constexpr const char* expected = "a bigint or an integer, -2^63 to 2^63 - 1";
  if (i >= argv_.size()) bad(i, expected);
  double number;
  if (napi_get_value_double(env_, argv_[i], &number) == napi_ok) {
    if (!(std::fabs(number) <= 9007199254740991.0) || number != std::floor(number))
      bad(i, expected);
    return static_cast<int64_t>(number);
  }
  int64_t value;
  bool lossless;
  if (napi_get_value_bigint_int64(env_, argv_[i], &value, &lossless) != napi_ok || !lossless)
    bad(i, expected);
  return value;
}

size_t Call::length(size_t i) {
  const uint64_t bytes = u64(i);
  if (bytes > max_copy) bad(i, "at most 2^30 bytes at once");
  return bytes;
}

uint32_t Call::u32(size_t i) {
  double number;
  if (i >= argv_.size() || napi_get_value_double(env_, argv_[i], &number) != napi_ok ||
      !(number >= 0 && number <= 4294967295.0) || number != std::floor(number))
    bad(i, "an integer, 0 to 2^32 - 1");
  return static_cast<uint32_t>(number);
}

int32_t Call::i32(size_t i) {
  double number;
  if (i >= argv_.size() || napi_get_value_double(env_, argv_[i], &number) != napi_ok ||
      !(number >= -2147483648.0 && number <= 2147483647.0) || number != std::floor(number))
    bad(i, "an integer, -2^31 to 2^31 - 1");
  return static_cast<int32_t>(number);
}

bool Call::boolean(size_t i) {
  bool value;
  if (i >= argv_.size() || napi_get_value_bool(env_, argv_[i], &value) != napi_ok)
    bad(i, "true or false");
  return value;
}

std::string Call::string(size_t i) {
  napi_valuetype type = napi_undefined;
  if (i < argv_.size()) napi_typeof(env_, argv_[i], &type);
  if (type != napi_string) bad(i, "a string");
  return Napi::String(env_, argv_[i]).Utf8Value();
}

std::span<uint8_t> Call::bytes(size_t i) {
  constexpr const char* expected = "a Buffer, typed array or DataView";
  if (i >= argv_.size()) bad(i, expected);
  bool is = false;
  void* data = nullptr;
  size_t length = 0;
  if (napi_is_typedarray(env_, argv_[i], &is) == napi_ok && is) {
    napi_typedarray_type type;
    napi_get_typedarray_info(env_, argv_[i], &type, &length, &data, nullptr, nullptr);
    length = Napi::TypedArray(env_, argv_[i]).ByteLength();
  } else if (napi_is_dataview(env_, argv_[i], &is) == napi_ok && is) {
    napi_get_dataview_info(env_, argv_[i], &length, &data, nullptr, nullptr);
  } else {
    bad(i, expected);
  }
  return {static_cast<uint8_t*>(data), data ? length : 0};
}

bool Call::given(size_t i) const {
  napi_valuetype type = napi_undefined;
  if (i < argv_.size()) napi_typeof(env_, argv_[i], &type);
  return type != napi_undefined;
}

// ---- errors

Napi::Object Call::args_object() const {
  Napi::Object args = Napi::Object::New(env_);
  for (size_t i = 0; i < argv_.size() && i < Function::max_args && fn_.args[i]; i++)
    args.Set(fn_.args[i], Napi::Value(env_, argv_[i]));
  return args;
}

Napi::Value Call::error(int err, Napi::Object args) const {
  const Napi::Env env(env_);
  const char* code = strerrorname_np(-err);
  const Napi::Value values[] = {Napi::String::New(env, fn_.syscall), Napi::Number::New(env, -err),
                                Napi::String::New(env, code ? code : "E" + std::to_string(-err)),
                                Napi::String::New(env, strerror(-err)), args};
  return state(env_).error_class.Value().New(
      {values[0], values[1], values[2], values[3], values[4]});
}

void Call::fail(int err) {
  throw Napi::Error(env_, error(err, args_object()));
}

// ---- results

napi_value to_js(napi_env, None) {
  return nullptr;  // undefined, to a caller in JavaScript
}
napi_value to_js(napi_env env, uint32_t n) {
  napi_value v;
  napi_create_uint32(env, n, &v);
  return v;
}
napi_value to_js(napi_env env, int32_t n) {
  napi_value v;
  napi_create_int32(env, n, &v);
  return v;
}
napi_value to_js(napi_env env, uint64_t n) {
  napi_value v;
  napi_create_bigint_uint64(env, n, &v);
  return v;
}
napi_value to_js(napi_env env, int64_t n) {
  napi_value v;
  napi_create_bigint_int64(env, n, &v);
  return v;
}
napi_value to_js(napi_env env, bool b) {
  napi_value v;
  napi_get_boolean(env, b, &v);
  return v;
}
napi_value to_js(napi_env env, const std::string& s) {
  return Napi::String::New(env, s);
}
napi_value to_js(napi_env env, const std::vector<uint8_t>& bytes) {
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
}
napi_value to_js(napi_env env, const Data& data) {
  return Napi::Buffer<uint8_t>::Copy(env, data.bytes.get(), data.size);
}
napi_value to_js(napi_env env, const std::vector<uint64_t>& numbers) {
  Napi::BigUint64Array array = Napi::BigUint64Array::New(env, numbers.size());
  std::copy(numbers.begin(), numbers.end(), array.Data());
  return array;
}
napi_value to_js(napi_env env, const std::vector<int32_t>& numbers) {
  Napi::Array array = Napi::Array::New(env, numbers.size());
  for (size_t i = 0; i < numbers.size(); i++) array.Set(i, Napi::Number::New(env, numbers[i]));
  return array;
}
napi_value to_js(napi_env env, const ChildEnd& end) {
  return object_js(env, std::pair{"errno", end.error}, std::pair{"signal", end.signal},
                   std::pair{"timedOut", end.timed_out});
}

// ---- children

pid_t Call::fork_child() {
  const pid_t pid = soft::AddressSpace::current().fork();
  if (pid < 0) fail(pid);
  return pid;
}

ChildEnd wait_child(pid_t pid) {
  ChildEnd end;
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd >= 0) {
    pollfd p{fd, POLLIN, 0};
    int n;
    while ((n = poll(&p, 1, child_timeout_ms)) < 0 && errno == EINTR) continue;
    if (n == 0) {
      end.timed_out = true;
      kill(pid, SIGKILL);
    }
    close(fd);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status)) end.error = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  return end;
}

}  // namespace i915u::addon
