// SPDX-License-Identifier: MIT
// Stress runs: started, stopped and watched from JavaScript, which never runs in their threads.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "addon/call.h"
#include "stress/bench.h"
#include "stress/board.h"
#include "stress/era.h"
#include "stress/run.h"
#include "stress/stressor.h"
#include "sync/clock.h"

namespace i915u::addon {
namespace {

using namespace stress;

/// Runs of this process: they are few, and a hung one must outlive the environment that began it.
struct Active {
  std::shared_ptr<Device> dev;
  Board* board;
  std::unique_ptr<Run> run;
};
std::map<uint32_t, Active>& runs() {
  static auto* all = new std::map<uint32_t, Active>;
  return *all;
}

[[noreturn]] void bad(Napi::Env env, const std::string& what) {
  throw Napi::TypeError::New(env, what);
}

double number(const Napi::Object& o, const char* key) {
  const Napi::Value v = o.Get(key);
  if (!v.IsNumber())
    bad(o.Env(), std::string("stressStart: config.") + key + ": expected a number");
  return v.As<Napi::Number>().DoubleValue();
}

/// Of a count: an integer in [least, most].
uint64_t count(const Napi::Object& o, const char* key, uint64_t least, uint64_t most) {
  const double v = number(o, key);
  if (!(v >= static_cast<double>(least) && v <= static_cast<double>(most)))
    bad(o.Env(), std::string("stressStart: config.") + key + ": expected " + std::to_string(least) +
                     " to " + std::to_string(most));
  return static_cast<uint64_t>(v);
}

Napi::Array list(const Napi::Object& o, const char* key) {
  const Napi::Value v = o.Get(key);
  if (!v.IsArray()) bad(o.Env(), std::string("stressStart: config.") + key + ": expected an array");
  return v.As<Napi::Array>();
}

std::string text(Napi::Env env, const Napi::Value& v, const char* what) {
  if (!v.IsString()) bad(env, std::string("stressStart: ") + what + ": expected a string");
  return v.As<Napi::String>().Utf8Value();
}

Config config_of(const Napi::Object& o) {
  constexpr uint64_t some = 1u << 30;
  Config c;
  c.seconds = number(o, "seconds");
  if (!(c.seconds >= 0 && c.seconds <= 1e9))
    bad(o.Env(), "stressStart: config.seconds: expected 0 to 1e9");
  c.operations = count(o, "operations", 0, uint64_t{1} << 53);
  const Napi::Value seed = o.Get("seed");
  if (!seed.IsBigInt()) bad(o.Env(), "stressStart: config.seed: expected a bigint");
  bool lossless;
  c.seed = seed.As<Napi::BigInt>().Uint64Value(&lossless);
  c.submitters = static_cast<uint32_t>(count(o, "submitters", 0, 32));
  c.threads_per_stressor = static_cast<uint32_t>(count(o, "threadsPerStressor", 0, 4));
  c.cells = static_cast<uint32_t>(count(o, "objects", 1, max_cells));
  const Napi::Array sizes = list(o, "sizes");
  for (uint32_t i = 0; i < std::min(sizes.Length(), max_cells); i++) {
    const Napi::Value v = sizes[i];
    const double size = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : 0;
    if (!(size >= page_size && size <= max_cell_bytes) || static_cast<uint64_t>(size) % page_size)
      bad(o.Env(), "stressStart: config.sizes: expected multiples of 4096 up to 64 MiB");
    c.sizes.push_back(static_cast<uint64_t>(size));
  }
  const Napi::Array names = list(o, "stressors");
  for (uint32_t i = 0; i < std::min(names.Length(), 64u); i++) {
    c.stressors.push_back(text(o.Env(), names[i], "config.stressors"));
    if (!find_stressor(c.stressors.back()))
      bad(o.Env(), "stressStart: there is no stressor " + c.stressors.back());
  }
  c.op_timeout_ns = count(o, "opTimeoutMs", 0, some) * 1000000;
  c.at_once = static_cast<uint32_t>(count(o, "atOnce", 0, 128));
  c.pause_ns = count(o, "pauseUs", 0, some) * 1000;
  c.dwell_ns = count(o, "dwellUs", 0, 1000000) * 1000;
  c.violations = count(o, "violations", 0, uint64_t{1} << 32);
  const std::string era = text(o.Env(), o.Get("era"), "config.era");
  if (era == "waits")
    c.era = Era::waits;
  else if (era == "no-wait")
    c.era = Era::no_wait;
  else if (era != "auto")
    bad(o.Env(), "stressStart: config.era: expected auto, waits or no-wait");
  return c;
}

Active& run_of(const Napi::CallbackInfo& info) {
  const auto at =
      info[0].IsNumber() ? runs().find(info[0].As<Napi::Number>().Uint32Value()) : runs().end();
  if (at == runs().end()) bad(info.Env(), "run: expected the number of a stress run");
  return at->second;
}

int fd_of(const Napi::CallbackInfo& info, size_t i) {
  if (!info[i].IsNumber()) bad(info.Env(), "board: expected a file descriptor");
  return info[i].As<Napi::Number>().Int32Value();
}

Board* map_board(const Napi::CallbackInfo& info, size_t i, bool writable) {
  int err = 0;
  Board* b = board_map(fd_of(info, i), writable, &err);
  if (!b)
    bad(info.Env(), "board: this descriptor is not a board (errno " + std::to_string(-err) + ")");
  return b;
}

/// stressStart(device, config, board, node): number
Napi::Value stress_start(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto* dev = info[0].IsNumber()
                        ? state(env).devices.find(info[0].As<Napi::Number>().Int64Value())
                        : nullptr;
  if (!dev) bad(env, "stressStart: device: expected an open device");
  if (!info[1].IsObject()) bad(env, "stressStart: config: expected an object");
  Config config = config_of(info[1].As<Napi::Object>());
  const std::string node = text(env, info[3], "node");
  Board* board = map_board(info, 2, true);
  static uint32_t next = 0;
  Active& a = runs()[++next];
  a.dev = *dev;
  a.board = board;
  a.run = std::make_unique<Run>(**dev, std::move(config), *board, node);
  a.run->launch();
  return Napi::Number::New(env, next);
}

void stress_stop(const Napi::CallbackInfo& info) {
  run_of(info).run->request_stop();
}

/// stressJoin(run): boolean. False: some of its threads hang.
Napi::Value stress_join(const Napi::CallbackInfo& info) {
  Active& a = run_of(info);
  const bool ended = a.run->join();
  if (ended) {
    a.run.reset();
    board_unmap(a.board);
    runs().erase(info[0].As<Napi::Number>().Uint32Value());
  }
  return Napi::Boolean::New(info.Env(), ended);
}

Napi::Value board_create_js(const Napi::CallbackInfo& info) {
  const int fd = board_create();
  if (fd < 0)
    throw Napi::Error::New(info.Env(), "memfd_create failed with errno " + std::to_string(-fd));
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value big(Napi::Env env, uint64_t v) {
  return Napi::BigInt::New(env, v);
}

/// Counts stay exact as numbers up to 2^53.
Napi::Value num(Napi::Env env, uint64_t v) {
  return Napi::Number::New(env, static_cast<double>(v));
}

Napi::Value cell_js(Napi::Env env, uint32_t cell) {
  return cell == no_cell ? env.Null() : Napi::Value(Napi::Number::New(env, cell));
}

Napi::Object op_js(Napi::Env env, const Board& b, const TraceEntry& e) {
  Napi::Object o = Napi::Object::New(env);
  const ThreadSlot& s = b.threads[e.thread % max_threads];
  o.Set("thread", bounded(s.name, sizeof s.name));
  o.Set("op", op_name(e.op));
  o.Set("cell", cell_js(env, e.cell));
  o.Set("beginNs", big(env, e.begin_ns));
  o.Set("endNs", big(env, e.end_ns));
  o.Set("result", Napi::BigInt::New(env, e.result));
  o.Set("addr", big(env, e.addr));
  o.Set("len", big(env, e.len));
  return o;
}

Napi::Object thread_js(Napi::Env env, const Board& b, uint32_t slot, uint64_t now) {
  const ThreadSlot& s = b.threads[slot];
  const ThreadView v = view_thread(b, slot, now);
  Napi::Object o = Napi::Object::New(env);
  o.Set("name", v.name);
  o.Set("kind", v.kind);
  o.Set("tid", Napi::Number::New(env, s.tid));
  o.Set("ops", num(env, s.ops));
  o.Set("eagain", num(env, s.eagain));
  o.Set("eintr", num(env, s.eintr));
  o.Set("efault", num(env, s.efault));
  o.Set("refused", num(env, s.refused));
  o.Set("overlapLookup", num(env, s.overlap_lookup));
  o.Set("overlapBusy", num(env, s.overlap_busy));
  o.Set("checks", num(env, s.checks));
  o.Set("op", v.op);
  o.Set("opNs", num(env, v.op_ns));
  Napi::Object latency = Napi::Object::New(env);
  uint64_t n = 0;
  latency.Set("p50", num(env, percentile(s.latency, 0.5, &n)));
  latency.Set("p90", num(env, percentile(s.latency, 0.9, &n)));
  latency.Set("p99", num(env, percentile(s.latency, 0.99, &n)));
  latency.Set("max", num(env, s.latency.max_ns));
  latency.Set("count", num(env, n));
  o.Set("latency", latency);
  Napi::Array trace = Napi::Array::New(env);
  for (const TraceEntry& e : v.trace) trace.Set(trace.Length(), op_js(env, b, e));
  o.Set("trace", trace);
  return o;
}

Napi::Object violation_js(Napi::Env env, const Board& b, const Violation& v) {
  Napi::Object o = Napi::Object::New(env);
  const auto kind = static_cast<size_t>(v.kind);
  o.Set("kind", kind < static_cast<size_t>(ViolationKind::count) ? violation_names[kind] : "?");
  o.Set("cell", cell_js(env, v.cell));
  const ThreadSlot& s = b.threads[v.thread % max_threads];
  o.Set("thread", bounded(s.name, sizeof s.name));
  o.Set("ns", big(env, v.ns));
  o.Set("addr", big(env, v.addr));
  o.Set("page", num(env, v.page));
  o.Set("expected", big(env, v.expected));
  o.Set("found", big(env, v.found));
  o.Set("text", bounded(v.text, sizeof v.text));
  o.Set("where", bounded(v.where, sizeof v.where));
  Napi::Array around = Napi::Array::New(env);
  for (uint32_t i = 0; i < std::min(v.n_around, around_length); i++)
    around.Set(i, op_js(env, b, v.around[i]));
  o.Set("around", around);
  return o;
}

/// boardSnapshot(fd): what lib/stress/snapshot.ts describes.
Napi::Value board_snapshot(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Board* mapped = map_board(info, 0, false);
  const Board& b = *mapped;
  const uint64_t now = sync::now_ns();
  static const char* const states[] = {"empty", "setup", "running", "stopping", "done", "failed"};
  Napi::Object o = Napi::Object::New(env);
  o.Set("state", states[std::min<size_t>(static_cast<size_t>(b.state.load()), 5)]);
  o.Set("error", bounded(b.error, sizeof b.error));
  o.Set("pid", num(env, static_cast<uint64_t>(b.pid.load())));
  o.Set("startNs", big(env, b.start_ns));
  o.Set("endNs", big(env, b.end_ns));
  o.Set("beatNs", big(env, b.beat_ns));
  o.Set("nowNs", big(env, now));
  Napi::Object era = Napi::Object::New(env);
  era.Set("expected", era_names[std::min(b.era_expected.load(), 2u)]);
  era.Set("measured", era_names[std::min(b.era_measured.load(), 2u)]);
  era.Set("munmapNs", big(env, b.era_munmap_ns));
  o.Set("era", era);
  Napi::Object pins = Napi::Object::New(env);
  pins.Set("acquired", big(env, b.pins_acquired));
  pins.Set("released", big(env, b.pins_released));
  o.Set("pins", pins);
  Napi::Array skips = Napi::Array::New(env);
  for (uint32_t i = 0; i < std::min(b.n_skips.load(), max_skips); i++) {
    Napi::Object skip = Napi::Object::New(env);
    skip.Set("what", bounded(b.skips[i].what, sizeof b.skips[i].what));
    skip.Set("why", bounded(b.skips[i].why, sizeof b.skips[i].why));
    skips.Set(i, skip);
  }
  o.Set("skips", skips);
  o.Set("violationsTotal", Napi::Number::New(env, b.n_violations));
  Napi::Array threads = Napi::Array::New(env);
  for (uint32_t i = 0; i < std::min(b.n_threads.load(), max_threads); i++)
    threads.Set(i, thread_js(env, b, i, now));
  o.Set("threads", threads);
  Napi::Array violations = Napi::Array::New(env);
  for (uint32_t i = 0; i < std::min(b.n_violations.load(), max_violations); i++)
    violations.Set(i, violation_js(env, b, b.violations[i]));
  o.Set("violations", violations);
  board_unmap(mapped);
  return o;
}

/// dieWithParent(): SIGKILL when the thread that started this process ends; false when it has
/// ended already.
Napi::Value die_with_parent(const Napi::CallbackInfo& info) {
  const pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return Napi::Boolean::New(info.Env(), parent != 1 && getppid() == parent);
}

/// exitNow(status): ends the process though threads of it hang.
void exit_now(const Napi::CallbackInfo& info) {
  _exit(info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : 1);
}

/// bench(device, what, rounds, addr): the nanoseconds that they took.
Napi::Value bench_js(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto* dev = info[0].IsNumber()
                        ? state(env).devices.find(info[0].As<Napi::Number>().Int64Value())
                        : nullptr;
  if (!dev) bad(env, "bench: device: expected an open device");
  const std::string what = text(env, info[1], "what");
  if (!info[2].IsNumber() || !info[3].IsBigInt()) bad(env, "bench: expected rounds and an address");
  const auto rounds = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  bool lossless;
  const uint64_t addr = info[3].As<Napi::BigInt>().Uint64Value(&lossless);
  int64_t ns = -EINVAL;
  if (what == "getparam")
    ns = bench_getparam(**dev, rounds);
  else if (what == "userptr")
    ns = bench_userptr_create_close(**dev, addr, page_size, rounds);
  else if (what == "exec")
    ns = bench_exec(**dev, addr, rounds, false);
  else if (what == "exec-wait")
    ns = bench_exec(**dev, addr, rounds, true);
  if (ns < 0) throw Napi::Error::New(env, "bench " + what + ": " + strerror(static_cast<int>(-ns)));
  return Napi::Number::New(env, static_cast<double>(ns));
}

template <size_t n>
Napi::Array names_js(Napi::Env env, const char* const (&names)[n]) {
  Napi::Array a = Napi::Array::New(env);
  for (size_t i = 0; i < n; i++) a.Set(i, names[i]);
  return a;
}

}  // namespace

void stress_exports(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, auto fn) {
    exports.Set(name, Napi::Function::New(env, fn, name));
  };
  add("boardCreate", board_create_js);
  add("boardSnapshot", board_snapshot);
  add("stressStart", stress_start);
  add("stressStop", stress_stop);
  add("stressJoin", stress_join);
  add("exitNow", exit_now);
  add("dieWithParent", die_with_parent);
  add("bench", bench_js);
  Napi::Array all = Napi::Array::New(env);
  for (auto* s = stressors; *s; s++) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("name", (*s)->name);
    o.Set("changes", (*s)->changes);
    o.Set("needs", (*s)->needs);
    o.Set("verified", (*s)->verified);
    all.Set(all.Length(), o);
  }
  exports.Set("stressors", all);
  exports.Set("violationKinds", names_js(env, violation_names));
  exports.Set("ops", names_js(env, op_names));
}

}  // namespace i915u::addon
