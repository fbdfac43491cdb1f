// SPDX-License-Identifier: MIT
#include "lab/explore/schedule.h"

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

namespace i915u::explore {

using sync::Op;

namespace {

constexpr const char* act_names[] = {"lock",  "lock_read", "try_lock", "try_lock_read",
                                     "wait",  "load",      "store",    "join",
                                     "begin", "yield",     "sleep"};
static_assert(std::size(act_names) == Op::sleep + 1);

void quote(std::string& out, const std::string& s) {
  out += '"';
  for (const char ch : s) {
    const auto c = static_cast<unsigned char>(ch);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += ch;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20) {
      char hex[8];
      snprintf(hex, sizeof hex, "\\u%04x", c);
      out += hex;
    } else {
      out += ch;
    }
  }
  out += '"';
}

void field(std::string& out, const char* key, const std::string& value) {
  out += ",\"";
  out += key;
  out += "\":";
  quote(out, value);
}

/// One flat object of strings, numbers and lists of strings: all that a line may hold.
class Line {
 public:
  explicit Line(const std::string& s) : at_(s.c_str()), end_(at_ + s.size()) {}

  /// Calls f(key) for each; f reads the value. False: not such an object.
  template <class F>
  bool object(F f) {
    if (!eat('{')) return false;
    if (eat('}')) return finished();
    do {
      std::string key;
      if (!string(key) || !eat(':') || !f(key)) return false;
    } while (eat(','));
    return eat('}') && finished();
  }
  bool string(std::string& s) {
    s.clear();
    if (!eat('"')) return false;
    while (at_ < end_ && *at_ != '"') {
      char c = *at_++;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !escape(c)) return false;
      s += c;
    }
    return eat('"');
  }
  bool number(uint32_t& n) {
    space();
    const char* begin = at_;
    uint64_t v = 0;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9' && v <= UINT32_MAX)
      v = v * 10 + static_cast<uint64_t>(*at_++ - '0');
    n = static_cast<uint32_t>(v);
    return at_ != begin && v <= UINT32_MAX;
  }
  bool strings(std::vector<std::string>& v, size_t most) {
    v.clear();
    if (!eat('[')) return false;
    if (eat(']')) return true;
    do {
      if (v.size() == most || !string(v.emplace_back())) return false;
    } while (eat(','));
    return eat(']');
  }

 private:
  void space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r')) at_++;
  }
  bool eat(char c) {
    space();
    if (at_ == end_ || *at_ != c) return false;
    at_++;
    return true;
  }
  bool finished() {
    space();
    return at_ == end_;
  }
  bool escape(char& c) {
    if (at_ == end_) return false;
    c = *at_++;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        return true;
      case 'n':
        c = '\n';
        return true;
      case 't':
        c = '\t';
        return true;
      case 'r':
        c = '\r';
        return true;
      case 'u': {  // only control characters are written that way
        uint32_t v = 0;
        for (int i = 0; i < 4; i++) {
          if (at_ == end_ || !isxdigit(static_cast<unsigned char>(*at_))) return false;
          const char d = *at_++;
          v = v * 16 + static_cast<uint32_t>(d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
        }
        c = static_cast<char>(v);
        return v < 0x80;
      }
      default:
        return false;
    }
  }
  const char* at_;
  const char* end_;
};

bool find_act(const std::string& name, Op::Act& act) {
  for (size_t i = 0; i < std::size(act_names); i++)
    if (name == act_names[i]) {
      act = static_cast<Op::Act>(i);
      return true;
    }
  return false;
}

/// std::getline that gives up on a line that is too long.
bool get_line(std::istream& in, std::string& line) {
  line.clear();
  for (int c; (c = in.get()) != EOF && c != '\n';) {
    if (line.size() == Schedule::max_line) return false;
    line += static_cast<char>(c);
  }
  return true;
}

}  // namespace

const char* act_name(Op::Act a) {
  return act_names[a];
}

std::string Schedule::Step::text() const {
  std::string s = "thread " + std::to_string(thread) + ": " + act_name(act);
  if (!object.empty()) s += " " + object;
  if (!where.empty()) s += " at " + where;
  return s;
}

uint32_t Schedule::switches() const {
  uint32_t n = 0;
  for (size_t i = 1; i < steps.size(); i++) n += steps[i].thread != steps[i - 1].thread;
  return n;
}

std::string Schedule::text() const {
  std::string out = "{\"schedule\":" + std::to_string(version);
  field(out, "strategy", strategy);
  field(out, "scenario", scenario);
  field(out, "options", options);
  field(out, "found", found);
  field(out, "what", what);
  out += ",\"threads\":[";
  for (size_t i = 0; i < threads.size(); i++) {
    if (i) out += ',';
    quote(out, threads[i]);
  }
  out += "],\"steps\":" + std::to_string(steps.size()) + "}\n";
  for (const Step& s : steps) {
    out += "{\"thread\":" + std::to_string(s.thread);
    field(out, "act", act_name(s.act));
    field(out, "object", s.object);
    field(out, "where", s.where);
    out += "}\n";
  }
  return out;
}

std::string Schedule::save(const std::string& path) const {
  std::ofstream f(path, std::ios::binary | std::ios::trunc);
  if (f) f << text();
  f.close();
  return f ? "" : path + ": " + strerror(errno);
}

std::string Schedule::load(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  if (!f) return path + ": " + strerror(errno);
  const std::string error = parse(f);
  return error.empty() ? error : path + ":" + error;
}

std::string Schedule::parse(std::istream& in) {
  Schedule s;
  std::string line;
  uint32_t count = 0, v = 0;
  bool has_count = false;
  if (!get_line(in, line)) return "1: the line is too long";
  Line first(line);
  const bool ok = first.object([&](const std::string& key) {
    if (key == "schedule") return first.number(v);
    if (key == "strategy") return first.string(s.strategy);
    if (key == "scenario") return first.string(s.scenario);
    if (key == "options") return first.string(s.options);
    if (key == "found") return first.string(s.found);
    if (key == "what") return first.string(s.what);
    if (key == "threads") return first.strings(s.threads, max_threads);
    if (key == "steps") return has_count = first.number(count);
    return false;
  });
  if (v && v != version)
    return "1: version " + std::to_string(v) + "; this build reads " + std::to_string(version);
  if (!ok || !v || !has_count) return "1: not the head of a schedule";
  if (count > max_steps) return "1: more steps than " + std::to_string(max_steps);
  for (uint32_t n = 0; n < count; n++) {
    const std::string at = std::to_string(n + 2) + ": ";
    if (!get_line(in, line)) return at + "the line is too long";
    if (line.empty() && in.eof())
      return at + "the file ends; its head says " + std::to_string(count) + " steps";
    Step step;
    std::string act;
    bool has_thread = false;
    Line l(line);
    if (!l.object([&](const std::string& key) {
          if (key == "thread") return has_thread = l.number(step.thread);
          if (key == "act") return l.string(act);
          if (key == "object") return l.string(step.object);
          if (key == "where") return l.string(step.where);
          return false;
        }) ||
        !has_thread)
      return at + "not a step";
    if (step.thread >= s.threads.size()) return at + "no thread " + std::to_string(step.thread);
    if (!find_act(act, step.act)) return at + "\"" + act + "\" is nothing that a thread does";
    s.steps.push_back(std::move(step));
  }
  if (get_line(in, line) && !line.empty())
    return std::to_string(count + 2) + ": more than the steps that the head says";
  *this = std::move(s);
  return "";
}

}  // namespace i915u::explore
