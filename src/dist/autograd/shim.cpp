// A step of the backward pass that is written in Rust. See mod.rs.
#include <ATen/ops/native_batch_norm_backward.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <cstdint>
#include <mutex>

#include "../../guarded.hpp"

using metacl::guarded;

extern "C" {
// `run` writes owned tensors or null to `slopes`, one for each input, and gives 0; `state` is its own until `drop`.
struct MetaclBackward {
  void *state;
  int (*run)(void *state, const at::Tensor *slope, at::Tensor **slopes, size_t count);
  void (*drop)(void *state);
};

// `run` gives 0; `state` is its own until `drop`.
struct MetaclHook {
  void *state;
  int (*run)(void *state);
  void (*drop)(void *state);
};
}

namespace {
class RustHook final : public torch::autograd::FunctionPostHook {
 public:
  explicit RustHook(MetaclHook hook) : hook_(hook) {}
  ~RustHook() override { hook_.drop(hook_.state); }

  torch::autograd::variable_list operator()(const torch::autograd::variable_list &outputs,
                                            const torch::autograd::variable_list &) override {
    TORCH_CHECK(hook_.run(hook_.state) == 0, "what a gradient was to start in Rust panicked");
    return outputs;
  }

 private:
  MetaclHook hook_;
};

// Torch makes what adds to a leaf's gradient anew where nobody holds it: this does.
struct Accumulator {
  std::shared_ptr<torch::autograd::Node> node;
  uintptr_t hook;
};

class RustNode final : public torch::autograd::Node {
 public:
  explicit RustNode(MetaclBackward backward) : backward_(backward) {}
  ~RustNode() override { forget(); }

  std::string name() const override { return "RustBackward"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list &&slopes) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(backward_.state != nullptr, "this graph was run backward before and its tensors are gone");
    const at::Tensor slope = slopes.at(0).defined() ? slopes[0] : input_metadata(0).zeros_like();
    std::vector<at::Tensor *> raw(num_outputs(), nullptr);
    const int failed = backward_.run(backward_.state, &slope, raw.data(), raw.size());
    torch::autograd::variable_list given;
    for (at::Tensor *tensor : raw) {
      given.push_back(tensor != nullptr ? std::move(*tensor) : at::Tensor());
      delete tensor;
    }
    TORCH_CHECK(failed == 0, "a backward step in Rust panicked");
    return given;
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    forget();
  }

 private:
  void forget() {
    if (backward_.state != nullptr) {
      backward_.drop(backward_.state);
      backward_.state = nullptr;
    }
  }

  MetaclBackward backward_;
};
}  // namespace

extern "C" {
// Lets gradients flow from `value`, which has none, through `backward` to `inputs`, where gradients are kept and an input wants one.
// Takes `backward` over in any case.
const char *metacl_attach(at::Tensor *value, at::Tensor *const *inputs, size_t count, MetaclBackward backward) {
  return guarded([=] {
    const std::shared_ptr<RustNode> node(new RustNode(backward), torch::autograd::deleteNode);
    torch::autograd::variable_list all;
    bool wanted = false;
    for (size_t i = 0; i < count; ++i) {
      all.push_back(*inputs[i]);
      wanted = wanted || inputs[i]->requires_grad();
    }
    if (wanted && at::GradMode::is_enabled()) {
      TORCH_CHECK(!value->requires_grad(), "the value of a backward step in Rust has a graph of its own");
      node->set_next_edges(torch::autograd::collect_next_edges(all));
      torch::autograd::set_history(*value, node);
    }
  });
}

// Runs `hook` whenever a backward pass has added to the gradient of `leaf`, until `*accumulator` is closed. Takes `hook` over in any case.
const char *metacl_gradient_open(const at::Tensor *leaf, MetaclHook hook, void **accumulator) {
  return guarded([=] {
    std::unique_ptr<torch::autograd::FunctionPostHook> owned(new RustHook(hook));
    TORCH_CHECK(leaf->is_leaf() && leaf->requires_grad(), "only a leaf that wants a gradient gets one");
    std::unique_ptr<Accumulator> made(new Accumulator{torch::autograd::impl::grad_accumulator(*leaf), 0});
    made->hook = made->node->add_post_hook(std::move(owned));
    *accumulator = made.release();
  });
}

void metacl_gradient_close(void *accumulator) {
  const std::unique_ptr<Accumulator> owned(static_cast<Accumulator *>(accumulator));
  owned->node->del_post_hook(owned->hook);
}

// Slopes of `batch_norm(x, weight, bias)` under constant statistics, towards each of the three: new tensors.
const char *metacl_norm_backward(const at::Tensor *slope, const at::Tensor *x, const at::Tensor *weight, const at::Tensor *mean,
                                 const at::Tensor *var, double eps, at::Tensor **slopes) {
  return guarded([=] {
    auto [of_x, of_weight, of_bias] =
        at::native_batch_norm_backward(*slope, *x, *weight, *mean, *var, {}, {}, false, eps, {true, true, true});
    slopes[0] = new at::Tensor(std::move(of_x));
    slopes[1] = new at::Tensor(std::move(of_weight));
    slopes[2] = new at::Tensor(std::move(of_bias));
  });
}
}
