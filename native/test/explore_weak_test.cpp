// SPDX-License-Identifier: MIT
// Weak references under the explorer: who finds the object, and who lets it go last.
#include <memory>
#include <set>
#include <string>

#include "lab/cell.h"
#include "lab/model/lab.h"
#include "sync/fibers.h"
#include "sync/weak.h"
#include "test/explore_worlds.h"
#include "test/harness.h"

using namespace i915u;
using test::Toy;
using test::toy;

namespace {

std::string joined(const std::set<std::string>& all) {
  std::string text;
  for (const auto& s : all) text += (text.empty() ? "" : "; ") + s;
  return text;
}

std::set<std::string> seen;  // over the executions of one search

explore::Result search(const explore::Make& make) {
  seen.clear();
  const auto r = explore::explore(make);
  CHECK_EQ(r.what, "");
  CHECK(r.exhaustive);
  return r;
}

struct Dying {
  std::string* by;
  ~Dying() {
    const auto& s = *static_cast<const sync::FiberScheduler*>(sync::scheduler);
    *by = s.task(s.thread()).name;
  }
};

}  // namespace

TEST(explore_weak_reference_finds_its_object_or_does_not) {
  search(toy([](Toy& t) {
    const uint32_t references = sync::new_object("references");
    auto& strong = t.make<std::shared_ptr<int>>(std::make_shared<int>(1));
    auto& weak = t.make<sync::Weak<int>>(strong, references);
    t.thread("close", [&strong, references] {
      sync::let_go(references);
      strong.reset();
    });
    t.thread("notifier", [&weak] { seen.insert(weak.lock() ? "found" : "gone"); });
  }));
  CHECK_EQ(joined(seen), "found; gone");
}

TEST(explore_weak_reference_may_become_the_last_one) {
  search(toy([](Toy& t) {
    const uint32_t references = sync::new_object("references");
    auto& by = t.make<std::string>();
    auto& found = t.make<std::string>("gone");
    auto& strong = t.make<std::shared_ptr<Dying>>(new Dying{&by});
    auto& weak = t.make<sync::Weak<Dying>>(strong, references);
    t.thread("close", [&strong, references] {
      sync::let_go(references);
      strong.reset();
    });
    t.thread("notifier", [&weak, &found] {
      if (weak.lock()) found = "found";
    });
    t.at_end = [&by, &found] { seen.insert(found + ", freed by " + by); };
  }));
  CHECK_EQ(joined(seen), "found, freed by close; found, freed by notifier; gone, freed by close");
}

TEST(explore_weak_references_that_all_find_the_object_commute) {
  const auto r = search(toy([](Toy& t) {
    const uint32_t references = sync::new_object("references");
    auto& strong = t.make<std::shared_ptr<int>>(std::make_shared<int>(1));
    auto& weak = t.make<sync::Weak<int>>(strong, references);
    auto& kept = t.make<std::vector<std::shared_ptr<int>>>();
    for (int i = 0; i < 2; i++) t.thread([&] { kept.push_back(weak.lock()); });
    t.at_end = [&kept] { kept.clear(); };
  }));
  CHECK_EQ(r.executions, 1u);
}

// What a notifier of any strategy does with the object that it has a weak reference to.
TEST(explore_weak_reference_to_an_object_of_the_lab_races_with_its_close) {
  using namespace lab;
  const Scenario scenario{
      "test", "", 1,
      [](Lab& l) {
        l.will_close();
        l.object(0);
        l.more = std::make_shared<sync::Weak<soft::Userptr>>(l.object_at(0)->weak());
        l.thread("close", [&l] { l.close(0); });
        l.thread("notifier", [&l] {
          const auto& weak = *static_cast<sync::Weak<soft::Userptr>*>(l.more.get());
          seen.insert(weak.lock() ? "found" : "gone");
        });
      },
      nullptr};
  for (const auto* s = soft::strategy_names; s->name; s++) {
    Cell cell;
    cell.strategy = s;
    cell.scenario = &scenario;
    search(cell.make());
    CHECK_EQ(s->name + (": " + joined(seen)), std::string(s->name) + ": found; gone");
  }
}
