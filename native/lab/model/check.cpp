// SPDX-License-Identifier: MIT
// What must hold of the pages that a GPU uses: device.h says why.
#include <sstream>

#include "lab/explore/explorer.h"
#include "lab/model/mm.h"
#include "lab/model/step.h"

namespace i915u::lab {

using sync::Op;

static std::string frame_name(int f) {
  return "frame " + std::to_string(f);
}

void LabMm::establish(Use& use, bool write) {
  const Page& p = pages_[use.page];
  const std::string page = "page " + std::to_string(use.page);
  if (frames_[use.frame].pins == 0)
    explore::fail("a request became visible with pages that were given back: " + page);
  if (p.inside)
    explore::fail("established inside an invalidate: a request became visible with " + page +
                  " between invalidate_range_start and invalidate_range_end of " + p.by);
  if (p.pte.kind != Pte::present || p.pte.frame != use.frame)
    explore::fail("stale pages: a request became visible with " + frame_name(use.frame) + " as " +
                  page + ", which the process has no more since " + p.by);
  if (write && !p.pte.write)
    explore::fail("stale pages: a request that writes became visible with " + page +
                  ", which is read-only since " + p.by);
  use.since = ++clock_;
  pages_[use.page].uses.push_back(&use);
}

void LabMm::retire(const Use& use) {
  std::erase(pages_[use.page].uses, &use);
}

void LabMm::check_start(int page, uint64_t begun) const {
  if (!waits_) return;
  const Page& p = pages_[page];
  const std::string name = "page " + std::to_string(page), by = p.by;
  for (const Use* use : p.uses)
    explore::fail(
        use->since > begun
            ? "established inside an invalidate: a request became visible with " + name +
                  " after the driver had let go of it, and invalidate_range_start of " + by +
                  " has returned"
            : "invalidate_range_start of " + by +
                  " returned while a request that was visible before may still write to " + name);
}

void LabMm::gpu_write(const Use& use, int tag) {
  Frame& f = frames_[use.frame];
  const std::string what = frame_name(use.frame) + ", " + "page " + std::to_string(use.page);
  if (f.freed) explore::fail("the GPU wrote to a freed frame: " + what);
  if (!f.pins) explore::fail("the GPU wrote to a frame that is not pinned: " + what);
  f.content = tag;
}

int LabMm::content(int page) {
  step(Op::load, pages_[page].object, page_label(Act::read, page));
  const Pte& pte = pages_[page].pte;
  if (pte.kind == Pte::none) return 0;
  return pte.frame >= 0 ? frames_[pte.frame].content : pte.content;
}

void LabMm::check() const {
  for (size_t i = 0; i < frames_.size(); i++) {
    const Frame& f = frames_[i];
    const std::string name = frame_name(static_cast<int>(i));
    if (f.pins) explore::fail("leak: " + name + " is still pinned at the end");
    if (!f.freed && !f.maps && !f.swap_cache)
      explore::fail("leak: " + name + " is nobody's and was not freed");
  }
}

std::string LabMm::show() const {
  std::ostringstream o;
  const auto frame = [&](int i) {
    const Frame& f = frames_[i];
    o << " frame " << i;
    if (f.pins) o << " pinned";
    if (f.maps > 1) o << " shared";
    if (f.freed) o << " FREED";
  };
  for (int p = 0; p < n_; p++) {
    const Page& page = pages_[p];
    if (p) o << "; ";
    o << "page " << p << ":";
    switch (page.pte.kind) {
      case Pte::none:
        o << " none";
        break;
      case Pte::present:
        frame(page.pte.frame);
        o << (page.pte.write ? " rw" : " ro");
        break;
      case Pte::migration:
        o << " migrating";
        frame(page.pte.frame);
        break;
      case Pte::swap:
        o << " swapped";
        break;
    }
    if (page.inside) o << " [" << page.by << "]";
    for (size_t i = 0; i < frames_.size(); i++) {
      const Frame& f = frames_[i];
      if (f.page == p && f.pins && page.pte.frame != static_cast<int>(i)) {
        o << ", old";
        frame(static_cast<int>(i));
      }
    }
  }
  return o.str();
}

}  // namespace i915u::lab
