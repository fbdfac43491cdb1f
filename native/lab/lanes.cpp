// SPDX-License-Identifier: MIT
#include "lab/lanes.h"

#include "lab/json.h"
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

std::string Lanes::json() const {
  std::string list;
  for (const auto& s : steps) {
    std::string locks;
    for (const auto& of : s.held) locks += (locks.empty() ? "" : ",") + json_list(of);
    list += (list.empty() ? "" : ",") + Json()
                                            .number("thread", s.thread)
                                            .text("op", s.op)
                                            .text("object", s.object)
                                            .text("where", s.where)
                                            .raw("held", "[" + locks + "]")
                                            .raw("next", json_list(s.next))
                                            .text("pages", s.pages)
                                            .done();
  }
  return Json().raw("threads", json_list(threads)).raw("steps", "[" + list + "]").done();
}

}  // namespace i915u::lab
