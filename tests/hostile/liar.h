/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that lies. Something honest has served a request and left its reply in the slot and its
 * answer in the data area; the liar then changes what the keep will see. It knows nothing but the
 * host ABI, so the same lies are told to the kernel on the mock HAL (under sanitizers, by a seed or
 * by a fuzzer's input) and to a real keep (tests/hostile/launcher.c).
 *
 * A new operation with an answer of its own form gets a row in `answers` of liar.c; without one its
 * words are changed blindly.
 */
#ifndef CELLA_TESTS_HOSTILE_LIAR_H
#define CELLA_TESTS_HOSTILE_LIAR_H

#include "cella/host_abi.h"

enum liar_kind {
    LIE_RESULT,     /* results and errors out of range, or another one than the true one */
    LIE_LENGTH,     /* lengths of answers */
    LIE_DATA,       /* malformed, contradictory or endless answers */
    LIE_FILE_BYTES, /* other bytes of a file: the keep cannot know */
    LIE_COMPLETION, /* twice, late, of other slots, jumping counts */
    LIE_CLOCK,      /* the clock's words */
    LIE_WINDOW,     /* the other words that the host may write */
    LIE_SIGNALS,    /* events that the user did not raise */
    LIE_MEMORY,     /* how much memory the keep holds */
    LIE_RACE,       /* told by flip.c: bytes change while they are looked at */
    NR_LIE_KINDS
};
#define LIE_ALL ((1u << NR_LIE_KINDS) - 1)

struct liar {
    struct cella_host_window *window;
    uint32_t kinds; /* 1 << enum liar_kind */
    uint32_t every; /* about one answer in so many is a lie; 0: none */
    uint64_t state; /* of the random sequence */
    /* Not NULL: decisions come from these bytes; when they are used up the host is honest. */
    const uint8_t *bytes;
    uint64_t nr_bytes;
    uint64_t told; /* lies so far */
    /* What was seen, to be shown again in a wrong place. */
    struct cella_host_stat seen_stat;
    uint64_t endless; /* names left to invent at the end of listings */
};

enum liar_fate {
    LIAR_COMPLETE, /* publish the completion */
    LIAR_TWICE,    /* publish it twice */
    LIAR_LATE,     /* publish it after others; never may it be left out for good */
};

/* A number below n (> 0). */
uint32_t liar_choose(struct liar *liar, uint32_t n);
/* A number of the kind that checks get wrong. */
uint64_t liar_odd_number(struct liar *liar);
/* The slot's request was served: lies, perhaps. */
enum liar_fate liar_answer(struct liar *liar, uint32_t slot);
/* A slot number for a completion that nobody waits for. */
uint32_t liar_wrong_slot(struct liar *liar);
/* Spoils the boot information that stands in the window. */
void liar_boot(struct liar *liar);

#endif
