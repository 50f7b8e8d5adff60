// What the shims over libtorch share: no exception leaves them.
#pragma once

#include <exception>
#include <string>

namespace metacl {
inline thread_local std::string failure;

// Runs `body`; the text of what it throws, else null. The text lasts until the thread's next call of a shim.
template <typename Body>
const char *guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception &error) {
    failure = error.what();
  } catch (...) {
    failure = "unknown exception";
  }
  return failure.c_str();
}
}  // namespace metacl
