// SPDX-License-Identifier: MIT
#include "match/player.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "drm/uapi.h"
#include "match/worker.h"
#include "mem/uaccess.h"
#include "soft/device.h"

namespace i915u::match {
namespace {

constexpr size_t answers_size = 256 << 10;

void add_hex(std::string* to, const uint8_t* bytes, size_t len) {
  constexpr char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < len; i++) {
    to->push_back(digits[bytes[i] >> 4]);
    to->push_back(digits[bytes[i] & 15]);
  }
}

}  // namespace

Player::Player(std::unique_ptr<Device> first, Open open)
    : first_(std::move(first)),
      open_(std::move(open)),
      memory_(first_->memory()),
      op_(std::make_unique<Op>()),
      answer_(std::make_unique<Answer>()) {
  answers_.reserve(answers_size);
  closed_.reserve(max_ops);
  mapped_.reserve(max_ops);
}

Player::~Player() {
  if (in_sequence_) end();
  for (auto& w : workers_) w.reset();
  memory_.munmap(args_at, args_size);
  if (no_file_ >= 0) ::close(no_file_);
}

int Player::init() {
  uaccess_init();
  const int64_t at =
      memory_.mmap(args_at, args_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
  if (at < 0) return static_cast<int>(at);
  no_file_ = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (no_file_ < 0) return -errno;
  before_ = left_over();
  return 0;
}

Player::Progress Player::progress() const {
  const uint64_t ticket = ticket_.load(std::memory_order_acquire);
  return {ticket & 1 ? ticket : 0, current_.load(std::memory_order_relaxed)};
}

bool Player::line(std::string_view text) {
  ticket_.fetch_add(1, std::memory_order_release);
  bool ok;
  if (text == "end" && in_sequence_) {
    const std::string id = id_;
    end();
    answers_ += "end " + id + "\n";
    ok = true;
  } else if (in_sequence_) {
    ok = op(text);
  } else if (text.starts_with("begin ") && text.size() > strlen("begin ")) {
    ok = begin(text.substr(strlen("begin ")));
  } else if (text == "leaks") {
    leaks();
    ok = true;
  } else {
    answers_ += "error no sequence has begun\n";
    ok = false;
  }
  ticket_.fetch_add(1, std::memory_order_release);
  return ok;
}

bool Player::begin(std::string_view id) {
  int err = 0;
  files_[0].device = open_(&err);
  if (!files_[0].device) {
    answers_ += std::string("error open: ") + strerror(-err) + "\n";
    return false;
  }
  in_sequence_ = true;
  id_ = id;
  ops_ = 0;
  slots_.fill(no_value);
  memset(reinterpret_cast<void*>(args_at), 0, args_size);
  return true;
}

void Player::end() {
  current_.store(ops_, std::memory_order_relaxed);
  for (auto& w : workers_)
    if (w) w->join();
  for (pid_t& child : children_)
    if (child) release_child(&child);
  for (File& f : files_) close_file(f);
  closed_.clear();
  for (const Mapped& m : mapped_) memory_.munmap(m.addr, m.len);
  mapped_.clear();
  memory_.munmap(arena_at, arena_size);
  in_sequence_ = false;
}

bool Player::op(std::string_view text) {
  Op& op = *op_;
  Answer& a = *answer_;
  if (std::string why = parse(text, &op); !why.empty() || ops_ == max_ops) {
    if (why.empty()) why = "too long a sequence";
    answers_ += "error " + why + ": " + std::string(text.substr(0, 200)) + "\n";
    return false;
  }
  current_.store(ops_++, std::memory_order_relaxed);
  a.ret = 0;
  a.num_out = 0;
  a.word = nullptr;
  a.unwritten = a.unread = false;
  resolve(op);
  if (refused(op)) {
    a.word = "refused";
  } else if (op.thread != Op::none) {
    Worker& w = worker(static_cast<unsigned>(op.thread));
    if (w.busy()) {
      a.word = "refused";
    } else {
      fault_in_own_memory();
      w.start(op);
      a.word = "started";
    }
  } else if (op.kind == Kind::join) {
    Worker& w = worker(static_cast<unsigned>(op.args[0]));
    if (w.busy()) {
      w.join();
      finish(w.op, w.answer);
      tell(w.op, w.answer);
      return true;
    }
    a.word = "refused";
  } else if (op.kind >= Kind::memfd && op.kind != Kind::poll) {
    manage(op, a);
  } else {
    perform(op, a);
    finish(op, a);
  }
  tell(op, a);
  return true;
}

// What the slots hold now, and which device or descriptor the op is for: another thread may do it
// while files come and go here.
void Player::resolve(Op& op) {
  for (unsigned i = 0; i < op.num_args; i++)
    if (op.from[i] != Op::none) op.args[i] += slots_[static_cast<unsigned>(op.from[i])];
  const auto fd_of = [&](const File& f) {
    if (!f.device) return f.fd;
    return f.device->fd() >= 0 ? f.device->fd() : no_file_;
  };
  for (unsigned i = 0; i < op.num_fields; i++) {
    Field& f = op.fields[i];
    if (!f.take)
      f.value = f.file ? static_cast<uint64_t>(int64_t{fd_of(files_[f.slot])}) : slots_[f.slot];
  }
  op.device = nullptr;
  op.fd = -1;
  if (op.file == Op::none) return;
  const File& f = files_[static_cast<unsigned>(op.file)];
  op.device = f.device.get();
  op.fd = fd_of(f);
}

Worker& Player::worker(unsigned n) {
  if (!workers_[0])  // all at once: with one of them in a call no stack can be mapped
    for (auto& w : workers_)
      w = std::make_unique<Worker>([this](Op& op, Answer& a) { perform(op, a); });
  return *workers_[n];
}

// A change of a mapping that waits for the GPU holds mmap_lock. Who then touches a page that is
// not there, or that a fork has left to be copied, waits as well, and the sequence comes to no end.
void Player::fault_in_own_memory() {
  if (!copied_on_write_ || first_->is_soft()) return;
  copied_on_write_ = false;
  FILE* maps = fopen("/proc/self/maps", "re");
  if (!maps) return;
  char text[512];
  while (fgets(text, sizeof(text), maps)) {
    uint64_t start, end;
    char prot[5];
    if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, prot) != 3) continue;
    if (strcmp(prot, "rw-p") || (start >= arena_at && start < arena_at + arena_size)) continue;
    for (uint64_t page = start; page < end; page += 4096) touch_user_write(page);
  }
  fclose(maps);
}

// Stores what an op left, where it succeeded. Descriptors are not told: their numbers are the
// process's own business.
void Player::finish(Op& op, Answer& a) {
  if (op.kind != Kind::ioctl) return;
  for (unsigned i = 0; i < op.num_fields; i++) {
    const Field& f = op.fields[i];
    if (f.take && (a.ret < 0 || a.unread)) continue;
    if (f.take && !f.file) slots_[f.slot] = f.value;
    if (!f.file) continue;
    const bool told = f.offset + f.width <= a.num_out;
    if (f.take) put_file(f.slot, static_cast<int>(f.value));
    uint64_t now = 0;
    if (told) memcpy(&now, &a.out[f.offset], f.width);
    if (told && !memcmp(&now, &f.value, f.width)) memset(&a.out[f.offset], 0, f.width);
  }
  note_mapped(op, a);
}

// GEM_MMAP maps where it likes. Only what the driver itself has written is taken for its address.
void Player::note_mapped(const Op& op, const Answer& a) {
  using namespace uapi;
  const unsigned long request = op.args[0] & 0xffffffff;
  drm_i915_gem_mmap m;
  if (a.ret != 0 || ioc_type(request) != 'd' ||
      ioc_nr(request) != ioc_nr(DRM_IOCTL_I915_GEM_MMAP) || !(request >> 31) ||
      ioc_size(request) < sizeof(m) || copy_from_user(&m, op.args[1], sizeof(m)))
    return;
  mapped_.push_back({m.addr_ptr, m.size});
}

void Player::tell(const Op& op, const Answer& a) {
  if (a.word) {
    answers_ += a.word;
  } else {
    char ret[32];
    answers_.append(ret, static_cast<size_t>(snprintf(ret, sizeof(ret), "%" PRId64, a.ret)));
    if (op.kind == Kind::sum) {
      for (uint32_t i = 0; i < a.num_out / 8; i++) {
        uint64_t hash;
        memcpy(&hash, &a.out[8 * i], 8);
        char text[24];
        if (a.bad_page[i])
          answers_ += " fault";
        else
          answers_.append(text,
                          static_cast<size_t>(snprintf(text, sizeof(text), " %016" PRIx64, hash)));
      }
    } else if (a.unread) {
      answers_ += " fault";
    } else if (a.num_out) {
      answers_ += ' ';
      add_hex(&answers_, a.out.data(), a.num_out);
    }
    if (a.unwritten) answers_ += " unwritten";
  }
  answers_ += '\n';
}

}  // namespace i915u::match
