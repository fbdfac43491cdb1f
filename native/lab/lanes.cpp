// SPDX-License-Identifier: MIT
#include "lab/lanes.h"

#include <algorithm>

#include "lab/lockdep_reports.h"
#include "lab/model/lab.h"

namespace i915u::lab {

explore::Replayed Lanes::record(const Cell& cell, const explore::Schedule& schedule) {
  threads.clear();
  steps.clear();
  LockdepReports reports;
  return explore::replay(cell.make(), schedule, [this](const explore::StepView& v) {
    threads = v.threads;
    const auto* lab = static_cast<const Lab*>(v.world);
    steps.push_back({v.step.thread, explore::act_name(v.step.act), v.step.object, v.step.where,
                     v.held, v.next, lab ? lab->show() : ""});
  });
}

namespace {

std::string joined(const std::vector<std::string>& all) {
  std::string text;
  for (const auto& s : all) text += (text.empty() ? "" : ", ") + s;
  return text;
}

std::string op_of(const Lanes::Step& s) {
  return s.object.empty() ? s.op : s.op + " " + s.object;
}

void pad(std::string& line, size_t to) {
  if (line.size() < to) line.append(to - line.size(), ' ');
}

}  // namespace

// A row's locks are those of its thread, and the page table is shown where it has changed.
std::string Lanes::text() const {
  if (threads.empty()) return "";
  std::vector<size_t> width;
  for (const auto& t : threads) width.push_back(t.size());
  std::vector<bool> used(threads.size());
  for (const auto& s : steps) {
    if (s.thread >= width.size()) continue;
    used[s.thread] = true;
    width[s.thread] = std::max(width[s.thread], op_of(s).size());
  }
  std::vector<size_t> column(threads.size());
  size_t at = 6;
  for (size_t t = 0; t < threads.size(); t++) {
    column[t] = at;
    if (used[t]) at += width[t] + 2;
  }
  const size_t where_at = at;
  size_t held_at = where_at;
  for (const auto& s : steps) held_at = std::max(held_at, where_at + s.where.size() + 2);

  std::string out, line = " step";
  for (size_t t = 0; t < threads.size(); t++) {
    if (!used[t]) continue;
    pad(line, column[t]);
    line += threads[t];
  }
  pad(line, where_at);
  line += "at";
  pad(line, held_at);
  out += line + "then held\n";
  std::string pages;
  for (size_t i = 0; i < steps.size(); i++) {
    const Step& s = steps[i];
    line = std::to_string(i + 1);
    line.insert(0, line.size() < 5 ? 5 - line.size() : 0, ' ');
    pad(line, s.thread < column.size() ? column[s.thread] : 6);
    line += op_of(s);
    pad(line, where_at);
    line += s.where;
    if (s.thread < s.held.size() && !s.held[s.thread].empty()) {
      pad(line, held_at);
      line += joined(s.held[s.thread]);
    }
    out += line + "\n";
    if (s.pages != pages && !s.pages.empty()) out += "      | " + s.pages + "\n";
    pages = s.pages;
  }
  if (steps.empty()) return out;
  out += "\nIn the end:\n";
  const Step& last = steps.back();
  for (size_t t = 0; t < threads.size(); t++) {
    const bool ended = t >= last.next.size() || last.next[t].empty();
    const auto held = t < last.held.size() ? joined(last.held[t]) : "";
    if (ended && held.empty()) continue;
    out += "  " + threads[t] + (ended ? ": ended" : ": stands before " + last.next[t]);
    if (!held.empty()) out += "; holds " + held;
    out += "\n";
  }
  return out;
}

}  // namespace i915u::lab
