/* test_boot_frame.c - the frame parser takes what was written and refuses everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "comm/boot/bytes.h"
#include "comm/boot/frame.h"
#include "comm/boot/message.h"
#include "core/crc32c.h"
#include "core/rng.h"

#define LIMIT 1024u

typedef struct sample {
    uint8_t bytes[EPX_BOOT_FRAME_HEAD + LIMIT];
    size_t total;
} sample;

static sample make(uint16_t type, uint32_t sequence, uint32_t length)
{
    sample s = {.total = EPX_BOOT_FRAME_HEAD + length};
    uint32_t i;

    for (i = 0; i < length; i++)
        s.bytes[EPX_BOOT_FRAME_HEAD + i] = (uint8_t)(i * 7 + 1);
    epx_boot_frame_seal(s.bytes, type, sequence, length);
    return s;
}

static epx_boot_frame_result read_it(const sample *s, size_t available, uint32_t sequence,
                                     epx_boot_frame *frame)
{
    return epx_boot_frame_read(s->bytes, available, LIMIT, sequence, frame);
}

static void a_sealed_frame_reads_back(void **state)
{
    static const uint32_t lengths[] = {0, 1, 23, 24, 25, 1023, 1024};
    epx_boot_frame frame;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        sample s = make(7, 41, lengths[i]);

        assert_int_equal(read_it(&s, s.total, 41, &frame), EPX_BOOT_FRAME_READY);
        assert_int_equal(frame.type, 7);
        assert_int_equal(frame.length, lengths[i]);
        assert_ptr_equal(frame.payload, s.bytes + EPX_BOOT_FRAME_HEAD);
    }
}

static void every_truncation_asks_for_more(void **state)
{
    sample s = make(3, 0, 100);
    epx_boot_frame frame;
    size_t n;

    (void)state;
    for (n = 0; n < s.total; n++)
        assert_int_equal(read_it(&s, n, 0, &frame), EPX_BOOT_FRAME_MORE);
}

static void every_flipped_bit_is_refused(void **state)
{
    sample s = make(3, 0, 100);
    epx_boot_frame frame;
    size_t bit;

    (void)state;
    for (bit = 0; bit < 8 * s.total; bit++) {
        s.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(read_it(&s, s.total, 0, &frame), EPX_BOOT_FRAME_BAD);
        s.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(read_it(&s, s.total, 0, &frame), EPX_BOOT_FRAME_READY);
}

static void a_replayed_or_skipped_frame_is_refused(void **state)
{
    sample s = make(3, 5, 10);
    epx_boot_frame frame;

    (void)state;
    assert_int_equal(read_it(&s, s.total, 5, &frame), EPX_BOOT_FRAME_READY);
    assert_int_equal(read_it(&s, s.total, 6, &frame), EPX_BOOT_FRAME_BAD);
    assert_int_equal(read_it(&s, s.total, 4, &frame), EPX_BOOT_FRAME_BAD);
}

/* A head with good checksums that claims `length`. */
static sample claim(uint32_t length)
{
    sample s = make(3, 0, 0);

    epx_put_u32(s.bytes + 8, length);
    epx_put_u32(s.bytes + 20, epx_crc32c(0, s.bytes, 20));
    return s;
}

static void a_length_above_the_limit_is_refused_before_its_payload(void **state)
{
    static const uint32_t lengths[] = {LIMIT + 1, EPX_BOOT_FRAME_MAX, EPX_BOOT_FRAME_MAX + 1,
                                       UINT32_MAX};
    epx_boot_frame frame;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        sample s = claim(lengths[i]);

        assert_int_equal(read_it(&s, EPX_BOOT_FRAME_HEAD, 0, &frame), EPX_BOOT_FRAME_BAD);
    }
    {
        sample s = claim(EPX_BOOT_FRAME_MAX + 1);

        assert_int_equal(epx_boot_frame_read(s.bytes, EPX_BOOT_FRAME_HEAD, UINT32_MAX, 0, &frame),
                         EPX_BOOT_FRAME_BAD);
    }
}

static void a_foreign_protocol_is_refused_at_its_first_byte(void **state)
{
    static const char *const greetings[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
                                            "\x16\x03\x01"};
    epx_boot_frame frame;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++)
        assert_int_equal(epx_boot_frame_read((const uint8_t *)greetings[i], 1, LIMIT, 0, &frame),
                         EPX_BOOT_FRAME_BAD);
}

static void random_bytes_never_make_a_frame(void **state)
{
    uint8_t bytes[256];
    uint64_t seed = 20240817;
    epx_boot_frame frame;
    int i, j;

    (void)state;
    for (i = 0; i < 20000; i++) {
        size_t n = epx_rng_below(&seed, sizeof(bytes));

        for (j = 0; j < (int)sizeof(bytes); j++)
            bytes[j] = (uint8_t)epx_rng_next(&seed);
        if (i % 2 == 0)
            memcpy(bytes, make(1, 0, 0).bytes, 8); /* a good beginning */
        assert_int_not_equal(epx_boot_frame_read(bytes, n, LIMIT, 0, &frame), EPX_BOOT_FRAME_READY);
    }
}

static void a_notice_survives_the_wire_and_nonsense_does_not(void **state)
{
    epx_notice notice = {.kind = EPX_NOTICE_ABORT,
                         .from = 3,
                         .rank = -1,
                         .status = EPX_ERR_CORRUPT},
               back;
    uint8_t bytes[EPX_NOTICE_BYTES];
    epx_boot_frame frame = {.type = EPX_MSG_NOTICE, .length = sizeof(bytes), .payload = bytes};

    (void)state;
    memset(notice.text, 'x', sizeof(notice.text)); /* not terminated */
    notice.text[1] = '\n';
    epx_notice_write(&notice, bytes);
    assert_true(epx_notice_read(&frame, 4, &back));
    assert_int_equal(back.from, 3);
    assert_int_equal(back.rank, -1);
    assert_int_equal(back.status, EPX_ERR_CORRUPT);
    assert_int_equal(strlen(back.text), sizeof(back.text) - 1);
    assert_int_equal(back.text[1], '?');
    assert_false(epx_notice_read(&frame, 3, &back)); /* rank 3 of 3 */
    epx_put_u32(bytes, 99);
    assert_false(epx_notice_read(&frame, 4, &back));
    frame.length--;
    assert_false(epx_notice_read(&frame, 4, &back));
}

static void an_unknown_status_is_a_system_failure(void **state)
{
    epx_report report, back;
    uint8_t bytes[EPX_REPORT_BYTES];
    epx_boot_frame frame = {.type = EPX_MSG_FAILURE, .length = sizeof(bytes), .payload = bytes};

    (void)state;
    epx_report_set(&report, EPX_ERR_MISMATCH, "world size differs: %d", 4);
    epx_report_write(&report, bytes);
    assert_true(epx_report_read(&frame, &back));
    assert_int_equal(back.status, EPX_ERR_MISMATCH);
    assert_string_equal(back.text, "world size differs: 4");
    epx_put_u32(bytes, 12345);
    assert_true(epx_report_read(&frame, &back));
    assert_int_equal(back.status, EPX_ERR_SYSTEM);
    epx_put_u32(bytes, 0); /* a failure that claims to be none */
    assert_true(epx_report_read(&frame, &back));
    assert_int_equal(back.status, EPX_ERR_SYSTEM);
}

static void lists_of_ranks_are_short_sentences(void **state)
{
    bool set[40] = {false};
    char text[128];
    int i;

    (void)state;
    set[3] = true;
    assert_int_equal(epx_ranks_text(set, 40, text, sizeof(text)), 1);
    assert_string_equal(text, "rank 3");
    set[7] = true;
    epx_ranks_text(set, 40, text, sizeof(text));
    assert_string_equal(text, "ranks 3 and 7");
    set[9] = true;
    epx_ranks_text(set, 40, text, sizeof(text));
    assert_string_equal(text, "ranks 3, 7 and 9");
    for (i = 0; i < 40; i++)
        set[i] = true;
    assert_int_equal(epx_ranks_text(set, 40, text, sizeof(text)), 40);
    assert_string_equal(text, "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 32 others");
    assert_int_equal(epx_ranks_text(set, 40, text, 12), 40); /* cut, not overrun */
    assert_int_equal(strlen(text), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_frame_reads_back),
        cmocka_unit_test(every_truncation_asks_for_more),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(a_replayed_or_skipped_frame_is_refused),
        cmocka_unit_test(a_length_above_the_limit_is_refused_before_its_payload),
        cmocka_unit_test(a_foreign_protocol_is_refused_at_its_first_byte),
        cmocka_unit_test(random_bytes_never_make_a_frame),
        cmocka_unit_test(a_notice_survives_the_wire_and_nonsense_does_not),
        cmocka_unit_test(an_unknown_status_is_a_system_failure),
        cmocka_unit_test(lists_of_ranks_are_short_sentences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
