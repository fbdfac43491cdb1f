// SPDX-License-Identifier: MIT
// The addon's table of contents, and the one entry through which JavaScript calls all of it.
#include <deque>
#include <new>

#include "addon/call.h"

namespace i915u::addon {
namespace {

struct Binding {
  const Function* fn;
  Mode mode;
  size_t args;  ///< how many it takes: more are not asked for
};

napi_value enter(napi_env env, napi_callback_info info) {
  napi_value argv[Function::max_args];
  size_t argc = Function::max_args;
  void* data;
  napi_get_cb_info(env, info, &argc, argv, nullptr, &data);
  const Binding& binding = *static_cast<const Binding*>(data);
  try {
    Call call(env, *binding.fn, binding.mode, {argv, std::min(argc, binding.args)});
    return binding.fn->body(call);
  } catch (const Napi::Error& e) {
    e.ThrowAsJavaScriptException();
  } catch (const std::bad_alloc&) {
    napi_throw_range_error(env, "ENOMEM", "no memory for the call's data");
  } catch (const std::length_error&) {
    napi_throw_range_error(env, "ENOMEM", "no memory for the call's data");
  }
  return nullptr;
}

size_t arity(const Function& fn) {
  size_t n = 0;
  while (n < Function::max_args && fn.args[n]) n++;
  return n;
}

/// The bindings of all instances, made once: what they hold is the same for each.
const std::deque<Binding>& bindings() {
  static const std::deque<Binding> all = [] {
    std::deque<Binding> list;
    for (const Mode mode : {Mode::sync, Mode::async, Mode::child})
      for (const auto functions : {device_functions(), gem_functions(), context_functions(),
                                   exec_functions(), syncobj_functions(), memory_functions(),
                                   fork_functions(), userfaultfd_functions(), emit_functions()})
        for (const Function& fn : functions)
          if (mode == Mode::sync || !fn.plain) list.push_back({&fn, mode, arity(fn)});
    return list;
  }();
  return all;
}

/// setErrorClass(class): what failing calls throw: new class(syscall, errno, code, text, args).
void set_error_class(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction())
    throw Napi::TypeError::New(info.Env(), "setErrorClass: expected a class");
  state(info.Env()).error_class = Napi::Persistent(info[0].As<Napi::Function>());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new State);
  Napi::Object modes[] = {exports, Napi::Object::New(env), Napi::Object::New(env)};
  for (const Binding& binding : bindings()) {
    napi_value fn;
    napi_create_function(env, binding.fn->name, NAPI_AUTO_LENGTH, enter,
                         const_cast<Binding*>(&binding), &fn);
    modes[static_cast<int>(binding.mode)].Set(binding.fn->name, fn);
  }
  exports.Set("async", modes[1]);
  exports.Set("child", modes[2]);
  exports.Set("setErrorClass", Napi::Function::New(env, set_error_class, "setErrorClass"));
  exports.Set("constants", constants(env));
  exports.Set("structs", structs(env));
  exports.Set("softFaults", soft_faults(env));
  exports.Set("softKernels", soft_kernels(env));
  exports.Set("softStrategies", soft_strategies(env));
  stress_exports(env, exports);
  stress_exports(env, exports);
  return exports;
}

}  // namespace
}  // namespace i915u::addon

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  return i915u::addon::init(env, exports);
}
NODE_API_MODULE(i915_userptr, init)
