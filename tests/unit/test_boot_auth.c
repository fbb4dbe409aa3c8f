/* test_boot_auth.c - only who knows the job key gets through the handshake, and key files are
 * refused unless they are private. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "comm/boot/bytes.h"
#include "comm/boot/handshake.h"
#include "comm/boot/key.h"
#include "comm/boot/message.h"

static epx_ident ident(int32_t rank, int32_t world, uint8_t key_byte, bool keyed)
{
    epx_ident id = {.claim = {.rank = rank,
                              .world_size = world,
                              .library = EPX_VERSION,
                              .wire = EPX_WIRE_VERSION,
                              .keyed = keyed}};

    memset(id.key, key_byte, sizeof(id.key));
    epx_auth_job_id(keyed ? id.key : NULL, "test", id.job_id);
    return id;
}

static epx_boot_frame frame_of(uint16_t type, const uint8_t *payload, uint32_t length)
{
    epx_boot_frame frame = {.type = type, .length = length, .payload = payload};

    return frame;
}

/* Everything that crosses the wire in one handshake. */
typedef struct dialogue {
    uint8_t hello[EPX_HELLO_BYTES];
    uint8_t challenge[EPX_CHALLENGE_BYTES];
    uint8_t proof[EPX_MAC_BYTES];
    epx_claim guest_claim, host_claim;
} dialogue;

static epx_status greet(const epx_ident *host, const epx_ident *guest, dialogue *d)
{
    epx_boot_frame frame = frame_of(EPX_MSG_HELLO, d->hello, EPX_HELLO_BYTES);
    epx_status st;

    epx_hello_make(guest, d->hello);
    st = epx_hello_read(host, &frame, &d->guest_claim);
    if (st == EPX_OK)
        epx_challenge_make(host, d->hello, d->challenge);
    return st;
}

static epx_status answer(epx_ident *guest, dialogue *d)
{
    epx_boot_frame frame = frame_of(EPX_MSG_CHALLENGE, d->challenge, EPX_CHALLENGE_BYTES);

    return epx_challenge_answer(guest, d->hello, &frame, &d->host_claim, d->proof);
}

static bool convinced(const epx_ident *host, const dialogue *d)
{
    epx_boot_frame frame = frame_of(EPX_MSG_PROOF, d->proof, EPX_MAC_BYTES);

    return epx_proof_good(host, d->hello, d->challenge, &frame);
}

static void both_sides_of_one_job_are_convinced(void **state)
{
    epx_ident host = ident(0, 4, 1, true), guest = ident(3, 4, 1, true);
    dialogue d;

    (void)state;
    assert_int_equal(greet(&host, &guest, &d), EPX_OK);
    assert_int_equal(d.guest_claim.rank, 3);
    assert_int_equal(d.guest_claim.world_size, 4);
    assert_int_equal(answer(&guest, &d), EPX_OK);
    assert_int_equal(d.host_claim.library, EPX_VERSION);
    assert_true(convinced(&host, &d));
}

static void another_key_is_another_job(void **state)
{
    epx_ident host = ident(0, 4, 1, true), guest = ident(3, 4, 2, true);
    dialogue d;

    (void)state;
    assert_int_equal(greet(&host, &guest, &d), EPX_ERR_AUTH);
}

static void a_known_job_id_without_the_key_convinces_nobody(void **state)
{
    epx_ident host = ident(0, 4, 1, true), guest = ident(3, 4, 2, true);
    dialogue d;

    (void)state;
    memcpy(guest.job_id, host.job_id, sizeof(guest.job_id)); /* overheard */
    assert_int_equal(greet(&host, &guest, &d), EPX_OK);
    assert_int_equal(answer(&guest, &d), EPX_ERR_AUTH); /* the guest sees an impostor */
    memset(d.proof, 0, sizeof(d.proof));
    assert_false(convinced(&host, &d));
}

static void what_was_altered_on_the_way_is_not_accepted(void **state)
{
    epx_ident host = ident(0, 4, 1, true), guest = ident(3, 4, 1, true), copy;
    dialogue d;
    size_t i;

    (void)state;
    assert_int_equal(greet(&host, &guest, &d), EPX_OK);
    for (i = 0; i < EPX_CHALLENGE_BYTES; i++) {
        copy = guest;
        d.challenge[i] ^= 1;
        assert_int_equal(answer(&copy, &d), EPX_ERR_AUTH);
        d.challenge[i] ^= 1;
    }
    assert_int_equal(answer(&guest, &d), EPX_OK);
    for (i = 0; i < EPX_HELLO_BYTES; i++) {
        d.hello[i] ^= 1;
        assert_false(convinced(&host, &d));
        d.hello[i] ^= 1;
    }
    for (i = 0; i < EPX_MAC_BYTES; i++) {
        d.proof[i] ^= 1;
        assert_false(convinced(&host, &d));
        d.proof[i] ^= 1;
    }
    assert_true(convinced(&host, &d));
}

static void a_proof_is_good_for_one_connection_only(void **state)
{
    epx_ident host = ident(0, 4, 1, true), guest = ident(3, 4, 1, true);
    dialogue first, second;

    (void)state;
    assert_int_equal(greet(&host, &guest, &first), EPX_OK);
    assert_int_equal(answer(&guest, &first), EPX_OK);
    assert_int_equal(greet(&host, &guest, &second), EPX_OK);
    memcpy(second.proof, first.proof, sizeof(first.proof));
    assert_false(convinced(&host, &second));
    memcpy(second.hello, first.hello, sizeof(first.hello)); /* all of the guest's side replayed */
    epx_challenge_make(&host, second.hello, second.challenge);
    assert_false(convinced(&host, &second));
}

/* What the host proved cannot be sent back to it. */
static void a_reflected_proof_is_refused(void **state)
{
    epx_ident host = ident(0, 4, 1, true), guest = ident(3, 4, 1, true);
    dialogue d;

    (void)state;
    assert_int_equal(greet(&host, &guest, &d), EPX_OK);
    memcpy(d.proof, d.challenge + EPX_CHALLENGE_BYTES - EPX_MAC_BYTES, EPX_MAC_BYTES);
    assert_false(convinced(&host, &d));
}

static void without_a_key_the_cookie_is_handed_out(void **state)
{
    epx_ident host = ident(0, 2, 9, false), guest = ident(1, 2, 0, false);
    dialogue d;

    (void)state;
    assert_int_equal(greet(&host, &guest, &d), EPX_OK);
    assert_int_equal(answer(&guest, &d), EPX_OK);
    assert_memory_equal(guest.key, host.key, EPX_KEY_BYTES);
    assert_true(convinced(&host, &d));
}

static void a_key_is_never_handed_out(void **state)
{
    epx_ident host = ident(0, 2, 0xa5, true), guest = ident(1, 2, 0xa5, true);
    dialogue d;

    (void)state;
    assert_int_equal(greet(&host, &guest, &d), EPX_OK);
    assert_null(memmem(d.challenge, sizeof(d.challenge), host.key, 8));
    assert_null(memmem(d.hello, sizeof(d.hello), guest.key, 8));
}

static void frames_of_the_wrong_kind_are_refused(void **state)
{
    epx_ident host = ident(0, 4, 1, true), guest = ident(3, 4, 1, true);
    epx_boot_frame frame;
    dialogue d;

    (void)state;
    assert_int_equal(greet(&host, &guest, &d), EPX_OK);
    frame = frame_of(EPX_MSG_HELLO, d.hello, EPX_HELLO_BYTES - 1);
    assert_int_equal(epx_hello_read(&host, &frame, &d.guest_claim), EPX_ERR_AUTH);
    frame = frame_of(EPX_MSG_NOTICE, d.hello, EPX_HELLO_BYTES);
    assert_int_equal(epx_hello_read(&host, &frame, &d.guest_claim), EPX_ERR_AUTH);
    frame = frame_of(EPX_MSG_HELLO, d.proof, EPX_MAC_BYTES);
    assert_false(epx_proof_good(&host, d.hello, d.challenge, &frame));
}

/* ---- key files ------------------------------------------------------------------------------- */

static char folder[64], path[128];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/epx-key-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/key", folder);
    return epx_auth_init();
}

static int drop_folder(void **state)
{
    char other[160];

    (void)state;
    snprintf(other, sizeof(other), "%s.link", path);
    unlink(other);
    unlink(path);
    return rmdir(folder);
}

static void write_key(size_t bytes, mode_t mode)
{
    FILE *f;

    unlink(path);
    f = fopen(path, "w");
    assert_non_null(f);
    while (bytes-- > 0)
        fputc('k', f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_private_key_file_is_read(void **state)
{
    uint8_t key[EPX_KEY_BYTES] = {0}, expected[EPX_KEY_BYTES];
    bool found;

    (void)state;
    memset(expected, 'k', sizeof(expected));
    write_key(EPX_KEY_BYTES, 0600);
    assert_int_equal(epx_key_read(path, key), EPX_OK);
    assert_memory_equal(key, expected, sizeof(key));
    setenv("EPX_JOB_KEY_FILE", path, 1);
    memset(key, 0, sizeof(key));
    assert_int_equal(epx_key_find(key, &found), EPX_OK);
    assert_true(found);
    assert_memory_equal(key, expected, sizeof(key));
    unsetenv("EPX_JOB_KEY_FILE");
    assert_int_equal(epx_key_find(key, &found), EPX_OK);
    assert_false(found);
}

static void key_files_that_others_could_read_are_refused(void **state)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0660, 0666, 0700, 0620, 04600};
    uint8_t key[EPX_KEY_BYTES] = {0}, untouched[EPX_KEY_BYTES] = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        write_key(EPX_KEY_BYTES, modes[i]);
        assert_int_equal(epx_key_read(path, key), EPX_ERR_AUTH);
        assert_non_null(strstr(epx_last_error(), "mode"));
    }
    assert_memory_equal(key, untouched, sizeof(key));
}

static void key_files_of_the_wrong_size_or_kind_are_refused(void **state)
{
    uint8_t key[EPX_KEY_BYTES];
    char link_path[160];

    (void)state;
    write_key(31, 0600);
    assert_int_equal(epx_key_read(path, key), EPX_ERR_AUTH);
    assert_non_null(strstr(epx_last_error(), "31 bytes"));
    write_key(33, 0600);
    assert_int_equal(epx_key_read(path, key), EPX_ERR_AUTH);
    write_key(EPX_KEY_BYTES, 0600);
    snprintf(link_path, sizeof(link_path), "%s.link", path);
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_equal(epx_key_read(link_path, key), EPX_ERR_AUTH);
    assert_non_null(strstr(epx_last_error(), "symbolic link"));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* opening must not wait for a writer */
    assert_int_equal(epx_key_read(path, key), EPX_ERR_AUTH);
    unlink(path);
    assert_int_equal(epx_key_read(path, key), EPX_ERR_AUTH);
    assert_int_equal(epx_key_read(folder, key), EPX_ERR_AUTH);
}

static void security_require_refuses_a_job_without_key(void **state)
{
    (void)state;
    setenv("EPX_SECURITY", "require", 1);
    assert_int_equal(epx_key_missing(1), EPX_ERR_AUTH);
    setenv("EPX_SECURITY", "perhaps", 1);
    assert_int_equal(epx_key_missing(1), EPX_ERR_INVALID);
    unsetenv("EPX_SECURITY");
    assert_int_equal(epx_key_missing(1), EPX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_of_one_job_are_convinced),
        cmocka_unit_test(another_key_is_another_job),
        cmocka_unit_test(a_known_job_id_without_the_key_convinces_nobody),
        cmocka_unit_test(what_was_altered_on_the_way_is_not_accepted),
        cmocka_unit_test(a_proof_is_good_for_one_connection_only),
        cmocka_unit_test(a_reflected_proof_is_refused),
        cmocka_unit_test(without_a_key_the_cookie_is_handed_out),
        cmocka_unit_test(a_key_is_never_handed_out),
        cmocka_unit_test(frames_of_the_wrong_kind_are_refused),
        cmocka_unit_test(a_private_key_file_is_read),
        cmocka_unit_test(key_files_that_others_could_read_are_refused),
        cmocka_unit_test(key_files_of_the_wrong_size_or_kind_are_refused),
        cmocka_unit_test(security_require_refuses_a_job_without_key),
    };

    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
