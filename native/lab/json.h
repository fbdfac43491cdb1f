// SPDX-License-Identifier: MIT
// JSON, to be written only: one object, field by field.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace i915u::lab {

std::string json_quote(const std::string&);
std::string json_list(const std::vector<std::string>&);  ///< of strings

class Json {
 public:
  Json& text(const char* key, const std::string& v) { return raw(key, json_quote(v)); }
  Json& number(const char* key, uint64_t v) { return raw(key, std::to_string(v)); }
  Json& seconds(const char* key, double v);
  Json& flag(const char* key, bool v) { return raw(key, v ? "true" : "false"); }
  Json& raw(const char* key, const std::string& json);
  std::string done() const { return out_ + "}"; }

 private:
  std::string out_ = "{";
};

}  // namespace i915u::lab
