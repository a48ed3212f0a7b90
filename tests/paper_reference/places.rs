//! Places in queues, from section 5 of the rules.

/// The place of one order.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) ahead: Option<i128>,
    showed: i128,
    traded: i128,
    carried: i128,
    early: i128,
}

impl Place {
    /// Behind all that is displayed, if anybody knows that.
    pub(crate) fn at(displayed: Option<i128>) -> Self {
        Self {
            ahead: displayed,
            showed: displayed.unwrap_or(0),
            ..Self::default()
        }
    }

    /// What reaches us of a trade.
    pub(crate) fn trade(&mut self, qty: i128) -> i128 {
        let Some(ahead) = self.ahead else { return 0 };
        let late = qty.min(self.early);
        self.early -= late;
        let fresh = qty - late;
        let served = ahead.min(fresh);
        self.ahead = Some(ahead - served);
        self.traded += fresh;
        fresh - served
    }

    /// An update of the level; quantities are counted in `unit`s.
    pub(crate) fn level(&mut self, now: i128, power: Option<u32>, unit: i128) {
        let ahead = self.ahead.expect("a known place");
        let decrease = (self.showed - now).max(0);
        let old = self.carried.min(decrease);
        let new = self.traded.min(decrease - old);
        self.carried = self.traded - new;
        self.traded = 0;
        let back = (self.showed - old - new - ahead).max(0);
        let unexplained = decrease - old - new;
        let moved = power.map_or(0, |power| {
            share(unexplained / unit, ahead / unit, back / unit, power) * unit
        });
        let after = (ahead - moved).max(0).min(now);
        self.early = ahead - after;
        self.ahead = Some(after);
        self.showed = now;
    }

    pub(crate) fn snapshot(&mut self, now: i128) {
        *self = Self {
            ahead: self.ahead.map(|ahead| ahead.min(now)),
            showed: now,
            ..Self::default()
        };
    }
}

/// How much of a decrease was in front of us.
fn share(decrease: i128, mut ahead: i128, mut back: i128, power: u32) -> i128 {
    let digits = [63, 31, 21][usize::try_from(power - 1).expect("small")];
    while ahead.max(back) >= 1 << digits {
        // A digit less each time; rounding the back up again and again is rounding it up once.
        ahead /= 2;
        back = (back + 1) / 2;
    }
    let (front, rear) = (ahead.pow(power), back.pow(power));
    if front + rear == 0 {
        return 0;
    }
    decrease * front / (front + rear)
}
