// SPDX-License-Identifier: MIT
#include "stress/oracle.h"

#include <cstdio>

#include "mem/uaccess.h"

namespace i915u::stress {

std::string hex(uint64_t v) {
  char s[24];
  snprintf(s, sizeof s, "0x%llx", static_cast<unsigned long long>(v));
  return s;
}

namespace {

/// The pages to look at: both ends, and others by chance.
std::vector<uint32_t> pick(Rng& rng, uint32_t first, uint32_t count, uint32_t most) {
  std::vector<uint32_t> v;
  if (count <= most) {
    for (uint32_t i = 0; i < count; i++) v.push_back(first + i);
    return v;
  }
  v = {first, first + count - 1};
  while (v.size() < most) v.push_back(first + static_cast<uint32_t>(rng.below(count)));
  return v;
}

std::string describe(uint32_t v) {
  if (v == 0) return "nothing (0)";
  const Tag t = parse_tag(v);
  return "submission " + std::to_string(t.seq) + " of lane " + std::to_string(t.lane) +
         " of cell " + std::to_string(t.cell);
}

}  // namespace

void Oracle::violation(ViolationKind k, Cell& c, uint32_t page, uint64_t addr, uint64_t expected,
                       uint64_t found, const std::string& text) {
  if (Violation* v = report(rec_, k, c.id, text)) {
    v->addr = addr;
    v->page = page;
    v->expected = expected;
    v->found = found;
  }
}

void Oracle::lane(Cell& c, uint32_t page, uint32_t lane, const char* when) {
  Cell::Page& p = c.page[page];
  const uint32_t gen = p.gen.load();
  if (gen & 1) return;
  const uint32_t floor = p.floor[lane].load();
  uint32_t v;
  const uint64_t at = c.lane_addr(page, lane);
  if (load_user_u32(at, &v)) return;
  const uint32_t begun = c.lane[lane].begun.load();
  if (p.gen.load() != gen) return;
  rec_.slot().checks.fetch_add(1, std::memory_order_relaxed);
  if (v == 0) return;
  if (c.shape == Shape::read_only) {
    violation(ViolationKind::read_only_written, c, page, at, 0, v,
              "a read-only userptr object was written " + std::string(when));
    return;
  }
  const Tag t = parse_tag(v);
  if (t.cell != c.id || t.lane != lane || seq_after(t.seq, begun)) {
    violation(ViolationKind::stale_write, c, page, at, 0, v,
              "found " + describe(v) + ", which was never submitted here, " + when);
  } else if (!seq_after(t.seq, floor)) {
    violation(ViolationKind::stale_write, c, page, at, 0, v,
              "found " + describe(v) +
                  " in a page that was mapped after its execbuf had returned (" +
                  std::to_string(floor) + " was the last one before) " + when);
  }
}

void Oracle::landed(Cell& c, uint32_t page, uint32_t lane, uint32_t seq, uint32_t gen) {
  uint32_t v;
  const uint64_t at = c.lane_addr(page, lane);
  if ((gen & 1) || load_user_u32(at, &v)) return;
  if (c.page[page].gen.load() != gen) return;
  rec_.slot().checks.fetch_add(1, std::memory_order_relaxed);
  const uint32_t want = make_tag({c.id, lane, seq});
  if (v != want)
    violation(ViolationKind::lost_write, c, page, at, want, v,
              "submission " + std::to_string(seq) +
                  " was waited for and the mapping has not changed since before it, but found " +
                  describe(v));
}

void Oracle::cpu(Cell& c, uint32_t page, const char* when) {
  Cell::Page& p = c.page[page];
  const uint32_t gen = p.gen.load(), want = p.cpu.load();
  uint32_t v;
  const uint64_t at = c.cpu_addr(page);
  if ((gen & 1) || want == cpu_changing || load_user_u32(at, &v)) return;
  if (p.gen.load() != gen || p.cpu.load() != want) return;
  rec_.slot().checks.fetch_add(1, std::memory_order_relaxed);
  if (v != want)
    violation(ViolationKind::lost_content, c, page, at, want, v,
              "the dword that only the CPU writes has another value " + std::string(when));
}

void Oracle::whole_page(Cell& c, uint32_t page, const char* when) {
  for (uint32_t l = 0; l < lanes; l++) lane(c, page, l, when);
  cpu(c, page, when);
  Cell::Page& p = c.page[page];
  const uint32_t gen = p.gen.load();
  uint32_t dw[page_size / 4];
  if ((gen & 1) || copy_from_user(dw, c.page_addr(page), sizeof dw)) return;
  if (p.gen.load() != gen) return;
  for (uint32_t l = 0; l < lanes; l++) dw[c.lane_offset(page, l) / 4] = 0;
  dw[c.cpu_offset(page) / 4] = 0;
  for (uint32_t i = 0; i < page_size / 4; i++) {
    if (dw[i] == 0) continue;
    violation(ViolationKind::stale_write, c, page, c.page_addr(page) + i * 4, 0, dw[i],
              "found " + hex(dw[i]) + " where nothing writes " + when);
    return;
  }
}

void Oracle::sample(Cell& c, Rng& rng, uint32_t first, uint32_t count, uint32_t n,
                    const char* when) {
  const std::vector<uint32_t> pages = pick(rng, first, count, n);
  for (uint32_t p : pages) {
    for (uint32_t l = 0; l < lanes; l++) lane(c, p, l, when);
    cpu(c, p, when);
  }
  whole_page(c, pages[rng.below(pages.size())], when);
}

Content::Content(Cell& c, Rng& rng, uint32_t first, uint32_t count, uint32_t most) : c_(c) {
  for (uint32_t p : pick(rng, first, count, most)) {
    Seen s{};
    if (look(p, &s)) seen_.push_back(s);
  }
}

// False: the page is being taken away.
bool Content::look(uint32_t page, Seen* s) const {
  Cell::Page& p = c_.page[page];
  *s = {page, p.gen.load(), {}, 0, true};
  if (s->gen & 1) return false;
  for (uint32_t l = 0; l < lanes; l++)
    if (load_user_u32(c_.lane_addr(page, l), &s->lane[l])) s->readable = false;
  if (load_user_u32(c_.cpu_addr(page), &s->cpu)) s->readable = false;
  return p.gen.load() == s->gen;
}

void Content::survived(Oracle& o, Recorder& rec, const char* change) const {
  for (const Seen& was : seen_) {
    Seen now{};
    if (!was.readable || !look(was.page, &now) || now.gen != was.gen) continue;
    rec.slot().checks.fetch_add(1, std::memory_order_relaxed);
    const uint64_t at = c_.page_addr(was.page);
    if (!now.readable) {
      o.violation(ViolationKind::lost_content, c_, was.page, at, 0, 0,
                  "the page cannot be read after " + std::string(change));
      continue;
    }
    for (uint32_t l = 0; l < lanes; l++)
      if (was.lane[l] != 0 && now.lane[l] != was.lane[l] &&
          (now.lane[l] == 0 || !seq_after(parse_tag(now.lane[l]).seq, parse_tag(was.lane[l]).seq)))
        o.violation(ViolationKind::lost_content, c_, was.page, c_.lane_addr(was.page, l),
                    was.lane[l], now.lane[l],
                    "a GPU write did not survive " + std::string(change) + ": " +
                        describe(was.lane[l]) + " was there before, " + describe(now.lane[l]) +
                        " after");
    if (now.cpu != was.cpu)
      o.violation(ViolationKind::lost_content, c_, was.page, c_.cpu_addr(was.page), was.cpu,
                  now.cpu, "what the CPU wrote did not survive " + std::string(change));
  }
}

void Content::unchanged(Oracle& o, Recorder& rec, Era era, const uint32_t* begun) const {
  for (const Seen& was : seen_) {
    Seen now{};
    if (!was.readable || !look(was.page, &now) || now.gen != was.gen || !now.readable) continue;
    rec.slot().checks.fetch_add(1, std::memory_order_relaxed);
    for (uint32_t l = 0; l < lanes; l++) {
      if (now.lane[l] == was.lane[l]) continue;
      const bool late = seq_after(parse_tag(now.lane[l]).seq, begun[l]);
      if (era == Era::no_wait && !late) continue;
      o.violation(ViolationKind::write_after_protect, c_, was.page, c_.lane_addr(was.page, l),
                  was.lane[l], now.lane[l],
                  "the page changed after mprotect had taken the write permission away" +
                      std::string(late ? ", by a submission that began only then: " : ": ") +
                      describe(now.lane[l]));
    }
  }
}

}  // namespace i915u::stress
