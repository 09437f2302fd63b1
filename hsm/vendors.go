package hsm

// vendors are matched in this order. The value of each field is followed by where it is known from: "proved" by our own tests,
// "device" by a public journal of work with the hardware, "header" by the vendor's public headers, "doc" by its documents,
// "issue" by a public bug report; "assumed" where nothing public was found and the standard's or the safe choice is taken.
var vendors = []*Vendor{&softHSM, &openSC, &rutoken, &jaCarta, &esmart, &cryptoPro, &vipNet, &generic}
