// SPDX-License-Identifier: MIT
#include "stress/submitter.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "drm/ioctls.h"
#include "sync/clock.h"

namespace i915u::stress {

ExecJudge::ExecJudge(Cell& c, uint32_t first, uint32_t n, bool writes)
    : c_(c),
      writes_(writes),
      first_(first),
      n_(n),
      seq_(c.access_seq.load()),
      access_(c.access.load()),
      access_first_(c.access_first.load()),
      access_n_(c.access_n.load()) {}

void ExecJudge::judge(Recorder& rec, int err) const {
  const bool stable = !(seq_ & 1) && c_.access_seq.load() == seq_;
  const bool overlap = first_ < access_first_ + access_n_ && access_first_ < first_ + n_;
  const bool forbidden =
      overlap && (access_ == Access::none || (access_ == Access::read_only && writes_));
  const std::string state = access_ == Access::none ? "unmapped" : "read-only";
  ThreadSlot& s = rec.slot();
  if (err == 0) {
    if (stable && forbidden)
      report(rec, ViolationKind::unexpected_success, c_.id,
             "execbuf took a userptr object whose memory was " + state +
                 " from before the call to after it");
  } else if (err == -EFAULT) {
    s.efault.fetch_add(1, std::memory_order_relaxed);
    if (stable && !forbidden)
      report(rec, ViolationKind::wrong_errno, c_.id,
             "execbuf answered EFAULT, but the memory was mapped and allowed it from before the "
             "call to after it");
  } else if (err == -ENOMEM) {
    s.refused.fetch_add(1, std::memory_order_relaxed);
  } else if (err != -EAGAIN && err != -EINTR) {
    report(rec, ViolationKind::wrong_errno, c_.id,
           std::string("execbuf failed with ") + strerror(-err));
  }
}

int exec_retrying(Run& run, Recorder& rec, Job& job, uint64_t engine, uint32_t ctx) {
  for (;;) {
    const int err = job.exec(run.dev, engine, ctx);
    if (err == -EINTR)
      rec.slot().eintr.fetch_add(1, std::memory_order_relaxed);
    else if (err == -EAGAIN)
      rec.slot().eagain.fetch_add(1, std::memory_order_relaxed);
    else
      return err;
    if (run.stopping()) return err;
  }
}

bool wait_idle(Run& run, Recorder& rec, uint32_t cell, uint32_t handle) {
  rec.begin(Op::wait, cell);
  int64_t timeout = static_cast<int64_t>(run.op_timeout_ns());
  const int err = gem_wait(run.dev, handle, &timeout);
  rec.end(err);
  if (err == 0) return true;
  if (err == -ETIME)
    report(rec, ViolationKind::liveness, cell,
           "a batch was not done " + std::to_string(run.op_timeout_ns() / 1000000) +
               " ms after GEM_WAIT was called");
  else
    report(rec, ViolationKind::wrong_errno, cell,
           std::string("GEM_WAIT failed with ") + strerror(-err));
  run.request_stop();
  return false;
}

Submitter::Submitter(Run& run, Recorder& rec, uint32_t index)
    : run_(run), rec_(rec), rng_(run.cfg.seed * 1000003 + index), oracle_(rec) {
  contexts_ = {0};
  uint32_t ctx;
  for (int i = 0; i < 2; i++)
    if (gem_context_create(run.dev, &ctx) == 0) contexts_.push_back(ctx);
  uint64_t bytes = scratch_size;
  gem_create(run.dev, &bytes, &scratch_);
  uint32_t slot = index * max_cells * ring;
  for (size_t i = index; i < run.cells.size(); i += run.cfg.submitters) {
    Area a;
    a.cell = run.cells[i].get();
    for (auto& b : a.batch) b = std::make_unique<BatchObject>(run.dev, slot++);
    areas_.push_back(std::move(a));
  }
}

Submitter::~Submitter() {
  for (Area& a : areas_) close_objects(a);
  if (scratch_) gem_close(run_.dev, scratch_);
  for (uint32_t ctx : contexts_)
    if (ctx) gem_context_destroy(run_.dev, ctx);
}

void Submitter::loop() {
  while (!areas_.empty() && !run_.stopping() && run_.take_op()) {
    submit(areas_[rng_.below(areas_.size())]);
    rec_.slot().ops.fetch_add(1, std::memory_order_relaxed);
  }
  for (Area& a : areas_) sync(a);
}

bool Submitter::open_objects(Area& a) {
  Cell& c = *a.cell;
  if (a.handle[0]) return true;
  const uint32_t half = c.pages / 2;
  const bool two = c.pages > 1 && (c.shape == Shape::overlap || c.shape == Shape::adjacent);
  const uint32_t flags = c.shape == Shape::read_only ? uapi::I915_USERPTR_READ_ONLY : 0;
  const uint64_t first_len = c.shape == Shape::adjacent && two ? half * page_size : c.len;
  rec_.begin(Op::create, c.id, c.addr, c.len);
  int err = gem_userptr(run_.dev, c.addr, first_len, flags, &a.handle[0]);
  if (!err && two)
    err = gem_userptr(run_.dev, c.page_addr(half), c.len - half * page_size, flags, &a.handle[1]);
  rec_.end(err);
  if (!err) return true;
  if (err == -ENOMEM)
    rec_.slot().refused.fetch_add(1, std::memory_order_relaxed);
  else
    report(rec_, ViolationKind::wrong_errno, c.id,
           std::string("GEM_USERPTR failed with ") + strerror(-err));
  close_objects(a);
  return false;
}

void Submitter::close_objects(Area& a) {
  for (uint32_t& h : a.handle) {
    if (!h) continue;
    rec_.begin(Op::close, a.cell->id);
    rec_.end(gem_close(run_.dev, h));
    h = 0;
  }
}

// Requests of one context on one engine are in order; another is taken when nothing is under way.
void Submitter::choose_engine(Area& a) {
  a.engine = run_.caps.engines[rng_.below(run_.caps.engines.size())];
  a.ctx = contexts_[rng_.below(contexts_.size())];
}

void Submitter::submit(Area& a) {
  Cell& c = *a.cell;
  if (!open_objects(a)) return;
  if (a.in_flight == 0) choose_engine(a);
  if (a.in_flight == ring) sync(a);
  BatchObject& batch = *a.batch[a.next];

  // Which objects, and which pages of the cell they cover.
  const uint32_t half = c.pages / 2;
  uint32_t first = 0, n = c.pages;
  const bool writes = c.shape != Shape::read_only;
  const bool second_only = a.handle[1] && c.shape == Shape::overlap && rng_.one_in(2);
  Job job(run_, batch);
  uint32_t low = 0, high = 0;  // objects of the lower and of the upper half
  if (second_only) {
    first = half, n = c.pages - half;
    low = high = job.object(a.handle[1], c.gpu_addr(1), writes);
  } else {
    low = high = job.object(a.handle[0], c.gpu_addr(0), writes);
    if (c.shape == Shape::adjacent && a.handle[1])
      high = job.object(a.handle[1], c.gpu_addr(1), writes);
  }
  const auto place = [&](uint32_t page, uint32_t offset, auto use) {
    const bool upper = high != low && page >= half;
    const uint32_t base = second_only || upper ? half : 0;
    use(upper ? high : low, (page - base) * page_size + offset);
  };

  if (run_.gates && rng_.one_in(4))
    job.wait_for(run_.gates->arm(sync::now_ns() + rng_.below(2 * run_.cfg.dwell_ns + 1)));
  else if (rng_.one_in(4))
    job.pad(static_cast<uint32_t>(rng_.below(2000)));

  const uint32_t seq = ++a.seq;
  const size_t expects = a.expects.size(), readbacks = a.readbacks.size();
  const bool blits = run_.caps.has_blt && a.engine == uapi::I915_EXEC_BLT;
  if (writes || rng_.one_in(8)) {  // a read-only object is written too: it must not change
    const uint32_t stores = 1 + static_cast<uint32_t>(rng_.below(6));
    for (uint32_t i = 0; i < stores; i++) {
      const uint32_t page = i == 0   ? first
                            : i == 1 ? first + n - 1
                                     : first + static_cast<uint32_t>(rng_.below(n));
      place(page, c.lane_offset(page, 0), [&](uint32_t object, uint64_t offset) {
        const uint32_t tag = make_tag({c.id, 0, seq});
        if (blits && rng_.one_in(2))
          job.store_by_copy(object, offset, tag);
        else
          job.store(object, offset, tag);
      });
      if (writes) a.expects.push_back({page, c.page[page].gen.load(), seq});
    }
  }
  if (blits && scratch_) {
    const uint32_t page = first + static_cast<uint32_t>(rng_.below(n));
    const uint32_t slot = next_scratch_++ % (scratch_size / 4);
    const uint32_t dst = job.object(scratch_, scratch_gpu_addr, true);
    place(page, c.cpu_offset(page),
          [&](uint32_t object, uint64_t offset) { job.copy(dst, slot * 4, object, offset); });
    a.readbacks.push_back({page, c.page[page].gen.load(), c.page[page].cpu.load(), slot});
  }

  int err = job.write(run_.dev);
  if (!err) {
    const ExecJudge judge(c, first, n, writes);
    c.lane[0].begun.store(seq);
    rec_.begin(Op::exec, c.id, c.page_addr(first), seq);
    err = exec_retrying(run_, rec_, job, a.engine, a.ctx);
    rec_.end(err, true);
    c.lane[0].returned.store(seq);
    judge.judge(rec_, err);
  }
  if (err) {
    a.expects.resize(expects);
    a.readbacks.resize(readbacks);
    return;
  }
  a.next = (a.next + 1) % ring;
  a.in_flight++;
  c.lane[0].busy.store(true, std::memory_order_relaxed);
  if (rng_.one_in(16)) close_objects(a);  // while it is busy
  if (rng_.one_in(3)) sync(a);
}

void Submitter::sync(Area& a) {
  if (a.in_flight == 0) return;
  Cell& c = *a.cell;
  const bool idle = wait_idle(run_, rec_, c.id, a.batch[(a.next + ring - 1) % ring]->handle);
  a.in_flight = 0;
  c.lane[0].busy.store(false, std::memory_order_relaxed);
  if (idle) {
    rec_.begin(Op::verify, c.id);
    std::vector<uint32_t> seen;  // only the last write of a page can be there
    for (auto e = a.expects.rbegin(); e != a.expects.rend(); ++e) {
      if (std::find(seen.begin(), seen.end(), e->page) != seen.end()) continue;
      seen.push_back(e->page);
      oracle_.landed(c, e->page, 0, e->seq, e->gen);
    }
    for (const Readback& r : a.readbacks) check_readback(a, r);
    oracle_.lane(c, static_cast<uint32_t>(rng_.below(c.pages)), 0, "at a look after a wait");
    rec_.end(0);
  }
  a.expects.clear();
  a.readbacks.clear();
}

// The page, and what the CPU had written into it, are the same from before the submission to now.
void Submitter::check_readback(Area& a, const Readback& r) {
  Cell& c = *a.cell;
  uint32_t v = 0;
  if ((r.gen & 1) || r.cpu == cpu_changing) return;
  if (gem_pread(run_.dev, scratch_, r.slot * 4, 4, reinterpret_cast<uint64_t>(&v))) return;
  if (c.page[r.page].cpu.load() != r.cpu || c.page[r.page].gen.load() != r.gen) return;
  rec_.slot().checks.fetch_add(1, std::memory_order_relaxed);
  if (v != r.cpu)
    oracle_.violation(ViolationKind::stale_read, c, r.page, c.cpu_addr(r.page), r.cpu, v,
                      "the GPU read something else than the CPU had written before the execbuf");
}

}  // namespace i915u::stress
