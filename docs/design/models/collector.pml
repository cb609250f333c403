/* Promise, condemn, retire, flush, death and pause: ../0014-promises.md. tools/models runs it as it is, and with each part of
   the rule left out. There is one object, which nothing refers to; only the promises of HEAD keep it. A pause is time that
   passes between two steps. */

/* Replicas that run at once; RESTART: the first may die and start again. */
#ifndef REPLICAS
#define REPLICAS 2
#endif
#ifdef RESTART
#define ROWS (REPLICAS + 1)
#else
#define ROWS REPLICAS
#endif

/* In ticks. A promise lasts for TERM. A replica is dead DEAD after its last hello; it promises nothing FRESH after that, or
   FRESH after it began to look. What a flush leases outlasts the promises in it. */
#define TERM 2
#define DEAD 1
#define FRESH 1
#ifdef LEASE_AS_LONG_AS_THE_PROMISE
#define LEASE TERM
#else
#define LEASE (TERM + FRESH)
#endif
#ifdef NO_TERM_FOR_THE_DEAD
#define COUNTS DEAD
#else
#define COUNTS (DEAD + TERM)
#endif

mtype = { live, condemned, gone };

/* The database. What it commits is one step. Times are what is left of them. */
mtype object = live;
byte lease;
byte counts[ROWS];      /* a replica's row, since its last hello */
bool flushed[ROWS];     /* ... says that a flush is over whose snapshot saw that the object is condemned */

/* Of each incarnation of a replica, in its memory. */
bool alive[ROWS];
bool noted[ROWS];       /* a promise that no flush has taken */
byte looked[ROWS];      /* since a HEAD began */
byte hello[ROWS];       /* since the last hello was sent */
byte saying[ROWS];      /* since the hello that is on its way was */
bool saw[ROWS];         /* the snapshot of the flush that runs saw that the object is condemned */
bool has_flushed[ROWS]; /* ... and that of the last one that is over */

byte promise;           /* what is left of the last one that a client was given */

inline forget_snapshots() {
    d_step {
        i = 0;
        do
        :: i < ROWS -> flushed[i] = false; saw[i] = false; has_flushed[i] = false; i++
        :: else -> break
        od;
        i = 0
    }
}

inline elapse(timer) {
    if
    :: timer > 0 -> timer--
    :: else
    fi
}

#ifdef NO_FRESHNESS
#define FRESH_HELLO true
#else
#define FRESH_HELLO (hello[me] > 0)
#endif
#ifdef NO_HURRY
#define IN_TIME true
#else
#define IN_TIME (looked[me] > 0)
#endif

/* A HEAD on a connection of its own: it looks, notes, looks again, answers. */
proctype head(byte me) {
    bool found;
    do
    :: atomic { alive[me] && object == live -> looked[me] = FRESH + 1 };
#ifdef FRESH_BEFORE_LOOKING
       atomic { found = FRESH_HELLO };
#else
       found = true;
#endif
       if
       :: atomic { noted[me] -> skip }  /* somebody is promised it already: no second look */
       :: atomic { !noted[me] -> noted[me] = alive[me] };
#ifndef ONE_LOOK
          atomic { found = (found && object == live) }
#endif
       fi;
       atomic {
           if
           :: !alive[me] || !found
#ifdef FRESH_BEFORE_LOOKING
           :: alive[me] && found -> promise = TERM
#else
           :: alive[me] && found && FRESH_HELLO && IN_TIME -> promise = TERM
           :: alive[me] && found && !(FRESH_HELLO && IN_TIME) && object == live ->  /* it leases in the database */
               lease = LEASE;
               promise = TERM
           :: alive[me] && found && !(FRESH_HELLO && IN_TIME) && object != live     /* 404 */
#endif
           fi;
           found = false;
           looked[me] = 0
       }
    :: !alive[me] -> break
    od
}

/* The thread of a replica that flushes and says hello. */
proctype keeper(byte me) {
    bool taken;
    do
    :: alive[me] ->
#ifdef SNAPSHOT_AFTER_TAKING
       atomic { taken = noted[me]; noted[me] = false };
       atomic { saw[me] = (object == condemned) };
#else
       atomic { saw[me] = (object == condemned) };
       atomic { taken = noted[me]; noted[me] = false };
#endif
       atomic {
           if
           :: alive[me] && taken -> lease = LEASE
           :: else
           fi;
           has_flushed[me] = (alive[me] && saw[me]);
           saw[me] = false;
           taken = false
       }
    :: atomic { alive[me] -> saying[me] = FRESH + 1 };
       atomic {
           if
           :: alive[me] -> counts[me] = COUNTS + 1; flushed[me] = has_flushed[me]
           :: else
           fi
       };
#ifdef HELLO_BY_ITS_ANSWER
       saying[me] = FRESH + 1;
#endif
       atomic { hello[me] = saying[me]; saying[me] = 0 }
    :: !alive[me] -> break
    od
}

#define FLUSHED(row) (counts[row] == 0 || flushed[row])
#ifdef NO_RULE
#define MAY_RETIRE true
#elif ROWS == 1
#define MAY_RETIRE FLUSHED(0)
#else
#define MAY_RETIRE (FLUSHED(0) && FLUSHED(1))
#endif

/* Any number of collectors, on any replica: each step is a transaction. */
active proctype collector() {
    byte i;
    do
    :: atomic { object == live && lease == 0 -> object = condemned; forget_snapshots() }
    :: atomic { object == condemned && lease > 0 -> object = live; forget_snapshots() }
    :: atomic {
           object == condemned && lease == 0 && MAY_RETIRE -> object = gone;
#ifdef IS_REACHED
           assert(false)
#else
           assert(promise == 0)  /* else a client's manifest finds that what it was promised is gone */
#endif
       }
    :: object == gone -> break
    od
}

active proctype time() {
    byte row;
    do
    :: d_step {
           elapse(lease);
           elapse(promise);
           row = 0;
           do
           :: row < ROWS ->
               elapse(counts[row]);
               elapse(looked[row]);
               elapse(hello[row]);
               elapse(saying[row]);
               row++
           :: else -> break
           od;
           row = 0
       }
    :: object == gone -> break
    od
}

inline start_as(row) {
    alive[row] = true;
    run keeper(row);
#ifdef ONE_HEAD
    if
    :: row == 0 -> run head(row)
    :: else
    fi
#else
    run head(row)
#endif
}

active proctype fate() {
    byte row;
    atomic {
        do
        :: row < REPLICAS -> start_as(row); row++
        :: else -> break
        od
    };
    if
    :: atomic {
           alive[0] = false;
           noted[0] = false;
#ifdef RESTART
           start_as(REPLICAS)
#endif
       };
#ifdef RESTART_IN_ITS_ROW
       atomic { _nr_pr == 2 + 1 + 2 * (REPLICAS - 1) -> hello[0] = 0; saying[0] = 0; looked[0] = 0; has_flushed[0] = (object == condemned); saw[0] = false; start_as(0) }
#endif
    :: true
    fi
}
