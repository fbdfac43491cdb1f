// SPDX-License-Identifier: MIT
#include <charconv>

#include "match/op.h"

namespace i915u::match {
namespace {

// What each operation's words are: f a file, F a file or -, n a number, h bytes or -, * fields.
const struct {
  std::string_view name;
  Kind kind;
  const char* words;
} forms[] = {
    {"ioctl", Kind::ioctl, "fnnhn*"},
    {"write", Kind::write, "nh*"},
    {"read", Kind::read, "nn"},
    {"sum", Kind::sum, "nn"},
    {"mmap", Kind::mmap, "nnnnFn"},
    {"gmap", Kind::gmap, "fnnnnn"},
    {"munmap", Kind::munmap, "nn"},
    {"mprotect", Kind::mprotect, "nnn"},
    {"mremap", Kind::mremap, "nnnnn"},
    {"madvise", Kind::madvise, "nnn"},
    {"mlock", Kind::mlock, "nn"},
    {"munlock", Kind::munlock, "nn"},
    {"ftruncate", Kind::ftruncate, "fn"},
    {"fallocate", Kind::fallocate, "fnnn"},
    {"memfd", Kind::memfd, "fn"},
    {"open", Kind::open, "f"},
    {"close", Kind::close, "f"},
    {"fork", Kind::fork, "nh"},
    {"hold", Kind::hold, "n"},
    {"release", Kind::release, "n"},
    {"poll", Kind::poll, "nnn"},
    {"join", Kind::join, "n"},
    {"blocked", Kind::blocked, "nn"},
};

std::string_view next_word(std::string_view* rest) {
  const size_t end = rest->find(' ');
  const std::string_view word = rest->substr(0, end);
  *rest = end == rest->npos ? std::string_view{} : rest->substr(end + 1);
  return word;
}

// Decimal, negative too, or 0x.
bool number(std::string_view s, uint64_t* v) {
  const bool minus = s.starts_with('-');
  if (minus) s.remove_prefix(1);
  const bool hex = s.starts_with("0x");
  if (hex) s.remove_prefix(2);
  const auto [end, err] = std::from_chars(s.data(), s.data() + s.size(), *v, hex ? 16 : 10);
  if (minus) *v = -*v;
  return err == std::errc{} && end == s.data() + s.size();
}

bool indexed(std::string_view s, char letter, unsigned count, uint64_t* n) {
  return s.size() > 1 && s[0] == letter && s[1] != '-' && number(s.substr(1), n) && *n < count;
}

int digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_bytes(std::string_view s, Op* op) {
  op->has_bytes = s != "-";
  if (!op->has_bytes) return true;
  if (s.size() % 2 || s.size() / 2 > max_bytes) return false;
  op->num_bytes = static_cast<uint32_t>(s.size() / 2);
  for (size_t i = 0; i < op->num_bytes; i++) {
    const int high = digit(s[2 * i]), low = digit(s[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    op->bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

// OFFSET:WIDTH=$N, =fN, >$N or >fN
bool field(std::string_view s, Field* f) {
  const size_t colon = s.find(':'), sign = s.find_first_of("=>");
  if (colon == s.npos || sign == s.npos || colon > sign) return false;
  uint64_t offset, width, n;
  if (!number(s.substr(0, colon), &offset) || offset > max_bytes) return false;
  if (!number(s.substr(colon + 1, sign - colon - 1), &width) || (width != 4 && width != 8))
    return false;
  f->file = s.substr(sign + 1).starts_with('f');
  if (!indexed(s.substr(sign + 1), f->file ? 'f' : '$', f->file ? num_files : num_slots, &n))
    return false;
  f->offset = static_cast<uint32_t>(offset);
  f->width = static_cast<uint8_t>(width);
  f->take = s[sign] == '>';
  f->slot = static_cast<uint8_t>(n);
  return true;
}

bool read_word(char what, std::string_view word, Op* op) {
  uint64_t n;
  switch (what) {
    case 'F':
      if (word == "-") return true;
      [[fallthrough]];
    case 'f':
      if (!indexed(word, 'f', num_files, &n)) return false;
      op->file = static_cast<int>(n);
      return true;
    case 'n': {
      const unsigned i = op->num_args++;
      if (word.starts_with('$')) {  // a slot, and what is added to what it holds
        const size_t plus = word.find('+');
        op->args[i] = 0;
        if (plus != word.npos && !number(word.substr(plus + 1), &op->args[i])) return false;
        if (!indexed(word.substr(0, plus), '$', num_slots, &n)) return false;
        op->from[i] = static_cast<int8_t>(n);
        return true;
      }
      op->from[i] = Op::none;
      return number(word, &op->args[i]);
    }
    default:
      return hex_bytes(word, op);
  }
}

}  // namespace

std::string parse(std::string_view line, Op* op) {
  op->thread = op->file = Op::none;
  op->num_args = op->num_fields = op->num_bytes = 0;
  op->has_bytes = false;
  std::string_view name = next_word(&line);
  uint64_t n;
  if (name.starts_with('@')) {
    if (!indexed(name, '@', num_threads, &n)) return "no such thread";
    op->thread = static_cast<int>(n);
    name = next_word(&line);
  }
  for (const auto& form : forms) {
    if (form.name != name) continue;
    op->kind = form.kind;
    if (op->kind == Kind::fork && line == "-") return {};
    for (const char* what = form.words; *what; what++) {
      if (*what == '*') {
        for (; !line.empty(); op->num_fields++)
          if (op->num_fields == max_fields || !field(next_word(&line), &op->fields[op->num_fields]))
            return "a field is wrong";
      } else if (line.empty() || !read_word(*what, next_word(&line), op)) {
        return "a word is wrong or missing";
      }
    }
    if (!line.empty()) return "too many words";
    if (op->kind == Kind::fork && !op->has_bytes) return "bytes are missing";
    if (op->thread != Op::none && op->kind >= Kind::memfd && op->kind != Kind::poll)
      return "not for a thread";
    return {};
  }
  return "no such operation";
}

}  // namespace i915u::match
