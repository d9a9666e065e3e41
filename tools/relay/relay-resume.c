/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-resume.h"

#include <string.h>
#include <sys/random.h>

#include "ferry/error.h"
#include "tools/relay/relay-frame.h"
#include "util/endian.h"
#include "util/fail.h"
#include "util/text.h"

/* Messages are short: the largest is READY with a reason. */
#define MESSAGE_MAX (RELAY_READY_SIZE + RELAY_REASON_MAX + 4)

static bool get_random(void *to, size_t size, GError **errp)
{
    return getrandom(to, size, 0) == (ssize_t)size ||
           fail_errno(errp, "no random numbers");
}

bool session_key_make(SessionKey *key, GError **errp)
{
    return get_random(key->id, sizeof(key->id), errp) &&
           get_random(key->secret, sizeof(key->secret), errp);
}

static bool write_all(IoChannel *link, const void *bytes, size_t size,
                      GError **errp)
{
    GOutputVector vector = { bytes, size };

    return io_channel_writev(link, &vector, 1, errp);
}

/* Not one byte more: what follows belongs to the line. */
static bool read_exactly(IoChannel *link, void *to, size_t size, GError **errp)
{
    uint8_t *at = to;
    size_t got;

    while (size) {
        if (!io_channel_read(link, at, size, &got, errp)) {
            return false;
        }
        if (got == 0) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                        "the other relay closed the connection");
            return false;
        }
        at += got;
        size -= got;
    }
    return true;
}

/* With a checksum behind it. */
static bool write_summed(IoChannel *link, uint8_t *bytes, size_t size,
                         GError **errp)
{
    store_be32(bytes + size, frame_checksum_add(0, bytes, size));
    return write_all(link, bytes, size + 4, errp);
}

static bool check_sum(const uint8_t *bytes, size_t size, GError **errp)
{
    if (load_be32(bytes + size) != frame_checksum_add(0, bytes, size)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay's greeting is damaged");
        return false;
    }
    return true;
}

/* SESSION and READY */

bool session_hello_write(IoChannel *link, const SessionHello *hello,
                         GError **errp)
{
    uint8_t bytes[RELAY_SESSION_SIZE + 4] = { 0 };
    uint8_t *at = bytes;

    memcpy(at, hello->key.id, RELAY_ID_SIZE);
    at += RELAY_ID_SIZE;
    memcpy(at, hello->key.secret, RELAY_SECRET_SIZE);
    at += RELAY_SECRET_SIZE;
    store_be32(at, hello->patience_ms);
    memcpy(at + 4, hello->route, strnlen(hello->route, RELAY_ROUTE_SIZE - 1));
    return write_summed(link, bytes, RELAY_SESSION_SIZE, errp);
}

bool session_hello_read(Stream *link, SessionHello *hello, GError **errp)
{
    uint8_t bytes[RELAY_SESSION_SIZE + 4];
    const uint8_t *at = bytes;

    if (!stream_get_bytes(link, bytes, sizeof(bytes), errp) ||
        !check_sum(bytes, RELAY_SESSION_SIZE, errp)) {
        return false;
    }
    memcpy(hello->key.id, at, RELAY_ID_SIZE);
    at += RELAY_ID_SIZE;
    memcpy(hello->key.secret, at, RELAY_SECRET_SIZE);
    at += RELAY_SECRET_SIZE;
    hello->patience_ms = load_be32(at);
    memcpy(hello->route, at + 4, RELAY_ROUTE_SIZE);
    hello->route[RELAY_ROUTE_SIZE - 1] = '\0';
    return true;
}

bool session_ready_write(IoChannel *link, const char *reason, GError **errp)
{
    uint8_t bytes[MESSAGE_MAX];
    size_t size = reason ? strnlen(reason, RELAY_REASON_MAX) : 0;

    store_be32(bytes, (uint32_t)size);
    if (size) {
        memcpy(bytes + RELAY_READY_SIZE, reason, size);
    }
    return write_summed(link, bytes, RELAY_READY_SIZE + size, errp);
}

bool session_ready_read(IoChannel *link, GError **errp)
{
    uint8_t bytes[MESSAGE_MAX];
    size_t size;

    if (!read_exactly(link, bytes, RELAY_READY_SIZE, errp)) {
        return false;
    }
    size = load_be32(bytes);
    if (size > RELAY_REASON_MAX) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other relay's greeting is damaged");
        return false;
    }
    if (!read_exactly(link, bytes + RELAY_READY_SIZE, size + 4, errp) ||
        !check_sum(bytes, RELAY_READY_SIZE + size, errp)) {
        return false;
    }
    if (size) {
        g_autofree char *reason =
            g_strndup((char *)bytes + RELAY_READY_SIZE, size);
        g_autofree char *text = text_printable(reason);

        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "the other relay refuses: %s", text);
    }
    return size == 0;
}

/* Going on */

/* HMAC-SHA-256 by the secret, over who says it and all that was said. */
static void prove(uint8_t to[RELAY_PROOF_SIZE], char who, const Resume *resume,
                  const SessionKey *key, uint64_t received)
{
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, key->secret,
                             RELAY_SECRET_SIZE);
    gsize size = RELAY_PROOF_SIZE;
    uint8_t numbers[1 + 2 * 8];

    numbers[0] = (uint8_t)who;
    store_be64(numbers + 1, resume->arrived);
    store_be64(numbers + 9, received);
    g_hmac_update(hmac, key->id, RELAY_ID_SIZE);
    g_hmac_update(hmac, resume->nonce[0], RELAY_RESUME_NONCE);
    g_hmac_update(hmac, resume->nonce[1], RELAY_RESUME_NONCE);
    g_hmac_update(hmac, numbers, sizeof(numbers));
    g_hmac_get_digest(hmac, to, &size);
    g_hmac_unref(hmac);
}

/* Takes the same time wherever the two differ. */
static bool is_proof(const uint8_t *proof, const uint8_t *wanted)
{
    unsigned differ = 0;

    for (unsigned i = 0; i < RELAY_PROOF_SIZE; i++) {
        differ |= proof[i] ^ wanted[i];
    }
    return differ == 0;
}

static bool will_never(GError **errp, const char *text)
{
    g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_PEER, text);
    return false;
}

bool resume_ask(IoChannel *link, const SessionKey *key, uint64_t received,
                uint64_t *arrived, GError **errp)
{
    Resume resume = { .arrived = received };
    uint8_t ask[RELAY_MAGIC_SIZE + RELAY_ID_SIZE + RELAY_RESUME_NONCE];
    uint8_t challenge[4 + RELAY_RESUME_NONCE];
    uint8_t proof[8 + RELAY_PROOF_SIZE], answer[8 + RELAY_PROOF_SIZE];
    uint8_t wanted[RELAY_PROOF_SIZE];

    if (!get_random(resume.nonce[0], RELAY_RESUME_NONCE, errp)) {
        return false;
    }
    memcpy(ask, RELAY_RESUME_MAGIC, RELAY_MAGIC_SIZE);
    memcpy(ask + RELAY_MAGIC_SIZE, key->id, RELAY_ID_SIZE);
    memcpy(ask + RELAY_MAGIC_SIZE + RELAY_ID_SIZE, resume.nonce[0],
           RELAY_RESUME_NONCE);
    if (!write_all(link, ask, sizeof(ask), errp) ||
        !read_exactly(link, challenge, sizeof(challenge), errp)) {
        return false;
    }
    if (load_be32(challenge) != RELAY_RESUME_KNOWN) {
        return will_never(errp, "the other relay knows nothing of this "
                                "migration (any more)");
    }
    memcpy(resume.nonce[1], challenge + 4, RELAY_RESUME_NONCE);
    store_be64(proof, received);
    prove(proof + 8, 's', &resume, key, 0);
    if (!write_all(link, proof, sizeof(proof), errp) ||
        !read_exactly(link, answer, sizeof(answer), errp)) {
        return false;
    }
    *arrived = load_be64(answer);
    prove(wanted, 'r', &resume, key, *arrived);
    return is_proof(answer + 8, wanted) ||
           will_never(errp, "what answers there is not the relay that it was");
}

bool resume_read(Stream *link, Resume *resume, GError **errp)
{
    return stream_skip(link, RELAY_MAGIC_SIZE, errp) &&
           stream_get_bytes(link, resume->id, RELAY_ID_SIZE, errp) &&
           stream_get_bytes(link, resume->nonce[0], RELAY_RESUME_NONCE, errp);
}

void resume_refuse(IoChannel *link)
{
    uint8_t challenge[4 + RELAY_RESUME_NONCE] = { 0 };

    write_all(link, challenge, sizeof(challenge), NULL);
}

bool resume_challenge(IoChannel *link, Stream *from, Resume *resume,
                      const SessionKey *key, GError **errp)
{
    uint8_t challenge[4 + RELAY_RESUME_NONCE];
    uint8_t proof[RELAY_PROOF_SIZE], wanted[RELAY_PROOF_SIZE];

    store_be32(challenge, RELAY_RESUME_KNOWN);
    if (!get_random(resume->nonce[1], RELAY_RESUME_NONCE, errp)) {
        return false;
    }
    memcpy(challenge + 4, resume->nonce[1], RELAY_RESUME_NONCE);
    if (!write_all(link, challenge, sizeof(challenge), errp) ||
        !stream_get_be64(from, &resume->arrived, errp) ||
        !stream_get_bytes(from, proof, sizeof(proof), errp)) {
        return false;
    }
    prove(wanted, 's', resume, key, 0);
    if (!is_proof(proof, wanted)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    "the peer wants to go on with a migration, and cannot "
                    "prove that it is the one that began it");
        return false;
    }
    return true;
}

bool resume_grant(IoChannel *link, const Resume *resume, const SessionKey *key,
                  uint64_t received, GError **errp)
{
    uint8_t answer[8 + RELAY_PROOF_SIZE];

    store_be64(answer, received);
    prove(answer + 8, 'r', resume, key, received);
    return write_all(link, answer, sizeof(answer), errp);
}
