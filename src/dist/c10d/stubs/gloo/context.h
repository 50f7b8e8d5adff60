// What torch's ProcessGroupGloo.hpp names of Gloo, whose headers its wheel lacks: these types are only passed by pointer there, and their
// code lies in libtorch_cpu.so. A libtorch that has the real headers comes first on the compiler's path.
#pragma once
#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
