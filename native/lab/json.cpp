// SPDX-License-Identifier: MIT
#include "lab/json.h"

#include <cstdio>

namespace i915u::lab {

std::string json_quote(const std::string& s) {
  std::string out = "\"";
  for (const char ch : s) {
    const auto c = static_cast<unsigned char>(ch);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += ch;
    } else if (c < 0x20 || c == 0x7f) {
      char hex[8];
      snprintf(hex, sizeof hex, "\\u%04x", c);
      out += hex;
    } else {
      out += ch;
    }
  }
  return out + "\"";
}

std::string json_list(const std::vector<std::string>& all) {
  std::string out = "[";
  for (const auto& s : all) out += (out.size() > 1 ? "," : "") + json_quote(s);
  return out + "]";
}

Json& Json::seconds(const char* key, double v) {
  char number[40];
  snprintf(number, sizeof number, "%.3f", v);
  return raw(key, number);
}

Json& Json::raw(const char* key, const std::string& json) {
  if (out_.size() > 1) out_ += ',';
  out_ += '"' + std::string(key) + "\":" + json;
  return *this;
}

}  // namespace i915u::lab
