// SPDX-License-Identifier: MIT
#include "soft/context.h"

#include <algorithm>
#include <cerrno>

#include "soft/batch_runner.h"
#include "soft/file.h"
#include "soft/user_extensions.h"

namespace i915u::soft {
namespace {

const sync::LockClass context_table_lock_class{"file_priv->proto_context_lock"};
std::atomic<uint64_t> next_timeline{1};

constexpr uint64_t second = 1000000000;

}  // namespace

const sync::LockClass ContextEngine::timeline_lock_class{"timeline->mutex"};
const sync::LockClass Context::hang_lock_class{"ctx->hang_timestamp"};

Engine* find_engine(Gpu& gpu, const uapi::i915_engine_class_instance& ci) {
  for (auto& e : gpu.engines)
    if (e->info().uabi_class == ci.engine_class && e->info().uabi_instance == ci.engine_instance)
      return e.get();
  return nullptr;
}

// ---- on one engine

ContextEngine::ContextEngine(Engine& e, std::shared_ptr<Context> ctx)
    : engine(e), gpu(e.gpu), id(next_timeline++), vm(ctx->vm), context(ctx) {
  in_contexts_ = contexts_node_.insert(contexts_node_.end(), this);
  runnable_node_.push_back(this);
}

ContextEngine::~ContextEngine() = default;

void ContextEngine::retire() {
  while (!requests_.empty() && requests_.front()->signalled()) requests_.pop_front();
}

void ContextEngine::throttle() {
  constexpr size_t far_ahead = 1024;
  constexpr uint64_t nap_ns = 50000, longest_nap_ns = 1000000;
  if (const size_t naps = engine.load() / far_ahead)
    sync::sleep_ns(std::min(naps * nap_ns, longest_nap_ns));
  std::shared_ptr<Request> half;
  {
    sync::Guard g(timeline_lock);
    retire();
    if (requests_.size() < ring_requests) return;
    half = requests_[ring_requests / 2];
  }
  half->wait(sync::forever);
}

void ContextEngine::add(std::shared_ptr<Request> rq) {
  retire();
  requests_.push_back(std::move(rq));
}

std::shared_ptr<Request> ContextEngine::last_before(uint64_t ns) {
  sync::Guard g(timeline_lock);
  retire();
  std::shared_ptr<Request> last;
  for (auto& rq : requests_) {
    if (rq->emitted_ns > ns) break;
    last = rq;
  }
  return last;
}

// ---- contexts

Context::Context(Gpu& g, std::shared_ptr<Client> c) : gpu(g), client(std::move(c)) {
  gpu.counters.contexts.fetch_add(1, std::memory_order_relaxed);
}

Context::~Context() {
  gpu.counters.contexts.fetch_sub(1, std::memory_order_relaxed);
}

int Context::finalize() {
  if (finalized_) return 0;
  // execlists_create_virtual refuses siblings of different classes and the same engine twice.
  for (const ProtoContext::Slot& s : proto.slots)
    if (s.type == ProtoContext::Slot::balanced) return -EINVAL;
  vm = proto.vm ? std::move(proto.vm) : std::make_shared<Vm>(gpu);
  user_engines = proto.user_engines;
  if (user_engines) {
    for (const ProtoContext::Slot& s : proto.slots)
      engines.push_back(s.engine ? std::make_shared<ContextEngine>(*s.engine, shared_from_this())
                                 : nullptr);
  } else {
    for (auto& e : gpu.engines)
      engines.push_back(std::make_shared<ContextEngine>(*e, shared_from_this()));
  }
  if (proto.single_timeline) single_timeline = std::make_unique<Syncobj>(true);
  proto = {};
  finalized_ = true;
  return 0;
}

// kernel: mark_guilty, client_mark_guilty (gt/intel_reset.c).
bool Context::mark_guilty() {
  constexpr uint64_t context_fast_hang_ns = 120 * second, client_fast_hang_ns = 60 * second;
  constexpr uint32_t score_hang_fast = 1, score_context_ban = 3;
  if (closed.load()) return true;
  guilty_count.fetch_add(1);
  if (!bannable.load()) return false;
  const uint64_t now = sync::now_ns();
  uint64_t before_last;
  {
    sync::Guard g(hang_lock_);
    before_last = hangs_[0];
    hangs_[0] = hangs_[1];
    hangs_[1] = now;
  }
  const bool banned =
      !recoverable.load() || (before_last && now - before_last < context_fast_hang_ns);
  uint32_t score = banned ? score_context_ban : 0;
  const uint64_t client_before = client->hang_ns.exchange(now);
  if (client_before && now - client_before < client_fast_hang_ns) score += score_hang_fast;
  client->ban_score.fetch_add(score);
  return banned;
}

void Context::close() {
  closed.store(true);
  for (auto& ce : engines) {
    if (!ce) continue;
    ce->closed.store(true);
    if (persistent.load()) continue;
    ce->banned.store(true);
    ce->engine.kick();
  }
}

// ---- a file's contexts

ContextTable::ContextTable(Gpu& gpu) : lock_(context_table_lock_class) {
  auto ctx = std::make_shared<Context>(gpu, client);
  ctx->finalize();
  contexts_.emplace(0, std::move(ctx));
}

std::shared_ptr<Context> ContextTable::lookup(uint32_t id, int* err) {
  sync::Guard g(lock_);
  auto it = contexts_.find(id);
  *err = it == contexts_.end() ? -ENOENT : it->second->finalize();
  return *err ? nullptr : it->second;
}

int ContextTable::setparam(File& file, uapi::drm_i915_gem_context_param& args) {
  std::shared_ptr<Context> ctx;
  {
    sync::Guard g(lock_);
    auto it = contexts_.find(args.ctx_id);
    if (it == contexts_.end()) return -ENOENT;
    ctx = it->second;
    if (!ctx->finalized()) return context_setparam(file, *ctx, args);
  }
  return context_setparam(file, *ctx, args);
}

uint32_t ContextTable::add(std::shared_ptr<Context> ctx) {
  sync::Guard g(lock_);
  uint32_t id = 0;
  for (auto it = contexts_.begin(); it != contexts_.end() && it->first == id; ++it) id++;
  contexts_.emplace(id, std::move(ctx));
  return id;
}

std::shared_ptr<Context> ContextTable::take(uint32_t id) {
  sync::Guard g(lock_);
  auto it = contexts_.find(id);
  if (it == contexts_.end()) return nullptr;
  std::shared_ptr<Context> ctx = std::move(it->second);
  contexts_.erase(it);
  return ctx;
}

std::vector<std::shared_ptr<Context>> ContextTable::all() {
  sync::Guard g(lock_);
  std::vector<std::shared_ptr<Context>> out;
  for (auto& [id, ctx] : contexts_)
    if (ctx->finalized()) out.push_back(ctx);
  return out;
}

void ContextTable::close() {
  std::map<uint32_t, std::shared_ptr<Context>> gone;
  {
    sync::Guard g(lock_);
    gone.swap(contexts_);
  }
  for (auto& [id, ctx] : gone) ctx->close();
}

// ---- ioctls

int ioctl_context_destroy(File& file, const uapi::drm_i915_gem_context_destroy& args) {
  if (args.pad) return -EINVAL;
  if (!args.ctx_id) return -ENOENT;
  auto ctx = file.contexts.take(args.ctx_id);
  if (!ctx) return -ENOENT;
  ctx->close();
  return 0;
}

int ioctl_get_reset_stats(File& file, uapi::drm_i915_reset_stats& args) {
  if (args.flags || args.pad) return -EINVAL;
  int err;
  auto ctx = file.contexts.lookup(args.ctx_id, &err);
  if (!ctx) return err;
  // i915_reset_count: resets of the whole GPU, of which there are none; an engine's do not count.
  args.reset_count = 0;
  args.batch_active = ctx->guilty_count.load();
  args.batch_pending = ctx->active_count.load();
  return 0;
}

int ioctl_vm_create(File& file, uapi::drm_i915_gem_vm_control& args) {
  if (args.flags) return -EINVAL;
  if (int err = user_extensions(args.extensions, nullptr, 0, nullptr)) return err;
  args.vm_id = file.vms.add(std::make_shared<Vm>(file.gpu));
  return 0;
}

int ioctl_vm_destroy(File& file, const uapi::drm_i915_gem_vm_control& args) {
  if (args.flags || args.extensions) return -EINVAL;
  return file.vms.take(args.vm_id) ? 0 : -ENOENT;
}

int ioctl_throttle(File& file) {
  constexpr uint64_t recent_ns = 20000000;
  const uint64_t now = sync::now_ns();
  for (auto& ctx : file.contexts.all()) {
    for (auto& ce : ctx->engines)
      if (auto rq = ce ? ce->last_before(now - recent_ns) : nullptr) rq->wait(sync::forever);
  }
  return 0;
}

}  // namespace i915u::soft
