/* The presets: all names, facts that a user would check, and that every gate is one the gate
 * kernel takes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <epx/moe.h>

static const char *const names[] = {"mixtral-8x7b", "mixtral-8x22b",   "deepseek-moe-16b",
                                    "deepseek-v3",  "qwen3-30b",       "qwen3-235b",
                                    "grok-1",       "switch-base-128", "gpt-oss-120b"};

static void every_name_is_found_in_order(void **state)
{
    size_t count = sizeof(names) / sizeof(*names);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_non_null(epx_moe_preset_at(i));
        assert_string_equal(epx_moe_preset_at(i)->name, names[i]);
        assert_ptr_equal(epx_moe_preset_find(names[i]), epx_moe_preset_at(i));
    }
    assert_null(epx_moe_preset_at(count));
    assert_null(epx_moe_preset_at(SIZE_MAX));
}

static void unknown_names_are_not_found(void **state)
{
    (void)state;
    assert_null(epx_moe_preset_find(NULL));
    assert_null(epx_moe_preset_find(""));
    assert_null(epx_moe_preset_find("mixtral"));
    assert_null(epx_moe_preset_find("Mixtral-8x7b"));
}

static void experts_and_topk_are_the_models(void **state)
{
    static const int32_t experts[] = {8, 8, 64, 256, 128, 128, 8, 128, 128};
    static const uint32_t topk[] = {2, 2, 6, 8, 8, 8, 2, 1, 4};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_int_equal(epx_moe_preset_at(i)->num_experts, experts[i]);
        assert_int_equal(epx_moe_preset_at(i)->topk, topk[i]);
    }
}

/* Of one expert in bf16: the size that each model is known by. */
static void an_expert_has_its_models_size(void **state)
{
    static const double megabytes[] = {352, 604, 17.3, 88.1, 9.4, 37.7, 1208, 9.4, 49.8};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const epx_moe_preset *p = epx_moe_preset_at(i);
        double matrices = p->activation == EPX_ACT_RELU ? 2 : 3;
        double bytes = 2 * matrices * (double)p->hidden * (double)p->ffn;

        assert_true(fabs(bytes / 1e6 - megabytes[i]) < 0.01 * megabytes[i]);
    }
}

static void every_gate_can_run(void **state)
{
    static float logits[EPX_MAX_EXPERTS];
    int32_t ids[EPX_MAX_TOPK];
    float weights[EPX_MAX_TOPK];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const epx_moe_preset *p = epx_moe_preset_at(i);
        epx_gate gate = {.struct_size = sizeof(gate),
                         .kind = p->gate,
                         .num_experts = p->num_experts,
                         .topk = p->topk,
                         .num_groups = p->num_groups,
                         .top_groups = p->top_groups,
                         .scale = p->scale};

        assert_int_equal(epx_kernel_gate(&gate, logits, 1, ids, weights), EPX_OK);
        assert_true(p->hidden * 4 <= EPX_MAX_ROW_BYTES && p->activation <= EPX_ACT_RELU);
    }
}

static void the_exceptional_facts_are_right(void **state)
{
    const epx_moe_preset *v3 = epx_moe_preset_find("deepseek-v3");
    const epx_moe_preset *small = epx_moe_preset_find("deepseek-moe-16b");
    const epx_moe_preset *oss = epx_moe_preset_find("gpt-oss-120b");

    (void)state;
    assert_int_equal(v3->gate, EPX_GATE_SIGMOID_GROUPS);
    assert_true(v3->num_groups == 8 && v3->top_groups == 4 && v3->scale == 2.5f);
    assert_true(v3->shared_ffn == 2048 && small->shared_ffn == 2816);
    assert_int_equal(small->gate, EPX_GATE_SOFTMAX_TOPK);
    assert_int_equal(epx_moe_preset_find("qwen3-30b")->gate, EPX_GATE_SOFTMAX_RENORM);
    assert_int_equal(epx_moe_preset_find("mixtral-8x7b")->gate, EPX_GATE_TOPK_SOFTMAX);
    assert_int_equal(epx_moe_preset_find("grok-1")->activation, EPX_ACT_GELU_GLU);
    assert_int_equal(epx_moe_preset_find("switch-base-128")->activation, EPX_ACT_RELU);
    assert_int_equal(oss->activation, EPX_ACT_SWIGLU_CLAMP);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_int_equal(epx_moe_preset_at(i)->has_bias, epx_moe_preset_at(i) == oss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_found_in_order),
        cmocka_unit_test(unknown_names_are_not_found),
        cmocka_unit_test(experts_and_topk_are_the_models),
        cmocka_unit_test(an_expert_has_its_models_size),
        cmocka_unit_test(every_gate_can_run),
        cmocka_unit_test(the_exceptional_facts_are_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
